//! `import`: a tar becomes an image.

use super::list::reference;
use crate::args::{Global, ImportArgs};
use crate::commands::pull::{platform, within_user_namespace};
use crate::failure::{Failure, Outcome, usage};
use crate::{output, registry, settings};
use anyhow::Context;
use carboy_image::{ImportOptions, apply_change};
use std::fs::File;
use std::io::{self, IsTerminal, Read};

pub(in crate::commands) fn import(global: &Global, args: &ImportArgs) -> Outcome {
    if args.source == "-" && io::stdin().is_terminal() {
        return Err(usage("a tar is wanted on standard input, which is a terminal"));
    }
    let options = options(args)?;
    let engine = settings::engine(global)?;
    if let Some(code) = within_user_namespace(&engine)? {
        return Ok(code);
    }
    let mut tar: Box<dyn Read> = match args.source.as_str() {
        "-" => Box::new(io::stdin().lock()),
        url if url.starts_with("http://") || url.starts_with("https://") => {
            registry::client(&args.registry)?.fetch(url).map_err(|e| Failure::Other(e.into()))?
        }
        path => Box::new(File::open(path).with_context(|| format!("open {path}"))?),
    };
    let result = engine.images()?.import(&mut tar, &args.source, &options);
    if result.is_err() {
        // The import's own error is the one to report.
        let _ = engine.images()?.collect();
    }
    output::line(&result?.id.to_string())?;
    Ok(0)
}

fn options(args: &ImportArgs) -> Result<ImportOptions, Failure> {
    let mut options = ImportOptions {
        name: args.name.as_deref().map(reference).transpose()?,
        comment: args.message.clone().unwrap_or_else(|| format!("Imported from {}", args.source)),
        created: format!("{:.9}", jiff::Timestamp::now()),
        ..ImportOptions::default()
    };
    for change in &args.change {
        apply_change(&mut options.config, change).map_err(|e| usage(e.to_string()))?;
    }
    if args.platform.platform.as_ref().is_some_and(|text| text.contains('(')) {
        return Err(usage("import knows no version of the operating system: --platform os/arch[/variant]"));
    }
    let wanted =
        platform(args.platform.platform.as_deref())?.unwrap_or_else(carboy_image::pull::Wanted::host).to_string();
    let mut parts = wanted.split('/').map(str::to_owned);
    options.os = args.platform.os.clone().or(parts.next()).unwrap_or_default();
    options.architecture = args.platform.arch.clone().or(parts.next()).unwrap_or_default();
    options.variant = args.platform.variant.clone().or(parts.next());
    Ok(options)
}
