//! How registries are reached: flags, environment and this user's files, translated for the client.

use crate::args::RegistryArgs;
use crate::failure::{Failure, usage};
use crate::{output, settings};
use carboy_distribution::{Client, Credential, Credentials, Limits, Proxies, Registries, Settings};
use carboy_engine::{Engine, Error};
use carboy_image::{Image, ImageError, Images};
use carboy_oci::Reference;

/// A client with what the flags and the environment say.
pub(crate) fn client(args: &RegistryArgs) -> Result<Client, Failure> {
    carboy_sys::resolver::limit_to_files_and_dns();
    Ok(Client::new(Settings {
        credentials: credentials(args)?,
        tls_verify: if args.insecure { Some(false) } else { args.tls_verify },
        registries: registries()?,
        certificates: settings::certificate_folders(),
        certificates_for_all: args.cert_dir.clone(),
        proxies: Proxies::from_variables(|name| std::env::var(name).ok()),
        limits: Limits {
            tries: args.retry_times.map_or(Limits::default().tries, |times| times.saturating_add(1)),
            ..Limits::default()
        },
        notice: Some(output::warning),
        ..Settings::default()
    }))
}

fn credentials(args: &RegistryArgs) -> Result<Credentials, Failure> {
    if args.no_creds {
        return Ok(Credentials::none());
    }
    if let (Some(user), Some(password)) = (args.username.clone(), args.password.clone()) {
        return Ok(Credentials::given(Credential::Basic { user, password }));
    }
    if let Some(text) = &args.creds {
        return given(text).map(Credentials::given);
    }
    if let Some(file) = &args.authfile {
        if !file.exists() {
            return Err(usage(format!("credentials file {} does not exist", file.display())));
        }
        return Ok(Credentials::in_files(vec![file.clone()]));
    }
    Ok(Credentials::in_files(Credentials::standard_files(|name| std::env::var_os(name))))
}

/// `USER:PASSWORD`.
fn given(text: &str) -> Result<Credential, Failure> {
    match text.split_once(':') {
        Some((user, password)) if !user.is_empty() => {
            Ok(Credential::Basic { user: user.to_owned(), password: password.to_owned() })
        }
        _ => Err(usage("invalid --creds: USER:PASSWORD")),
    }
}

/// What registries.conf and its drop-ins, hosts.toml and daemon.json say.
pub(crate) fn registries() -> Result<Registries, Failure> {
    Registries::read(&settings::registries_files())
        .and_then(|registries| registries.with_hosts(&settings::certificate_folders(), &settings::daemon_files()))
        .map_err(|e| Failure::Other(e.into()))
}

/// The name under which the store has what a short name means by its alias, or in one of the registries that are searched; otherwise the text
/// as it is.
pub(crate) fn local_name(images: &Images, text: &str) -> Result<String, Failure> {
    if !Reference::is_short(text) || !matches!(images.find(text), Ok(None)) {
        return Ok(text.to_owned());
    }
    for candidate in registries()?.candidates(text).map_err(ImageError::from)? {
        let name = candidate.to_string();
        if images.find(&name)?.is_some() {
            return Ok(name);
        }
    }
    Ok(text.to_owned())
}

/// The image of that name, as [`local_name`] reads it. The embedded image is put into the store if it is meant.
pub(crate) fn find_image(engine: &Engine, text: &str) -> Result<Image, Failure> {
    let name = local_name(engine.images()?, text)?;
    Ok(engine.find_image(&name)?.ok_or_else(|| Error::NoSuchImage(text.to_owned()))?)
}

/// What a name may mean, the likeliest first; never none.
pub(crate) fn candidates(name: &str) -> Result<Vec<Reference>, Failure> {
    if !Reference::is_short(name) {
        return Ok(vec![Reference::parse(name).map_err(ImageError::from)?]);
    }
    Ok(registries()?.candidates(name).map_err(ImageError::from)?)
}
