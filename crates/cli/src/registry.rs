//! How registries are reached: flags, environment and this user's files, translated for the client.

use crate::args::RegistryArgs;
use crate::failure::{Failure, usage};
use carboy_distribution::{Client, Credential, Credentials, Proxies, Settings};

/// A client with what the flags and the environment say.
pub(crate) fn client(args: &RegistryArgs) -> Result<Client, Failure> {
    carboy_sys::resolver::limit_to_files_and_dns();
    Ok(Client::new(Settings {
        credentials: credentials(args)?,
        tls_verify: args.tls_verify.unwrap_or(true),
        proxies: Proxies::from_variables(|name| std::env::var(name).ok()),
        ..Settings::default()
    }))
}

fn credentials(args: &RegistryArgs) -> Result<Credentials, Failure> {
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
