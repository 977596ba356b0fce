//! `export`: a container's files as a tar.

use super::pull::within_user_namespace;
use crate::args::{ExportArgs, Global};
use crate::failure::{Failure, Outcome, usage};
use crate::settings;
use anyhow::Context;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};

pub(super) fn export(global: &Global, args: &ExportArgs) -> Outcome {
    if args.output.is_none() && io::stdout().is_terminal() {
        return Err(usage("cowardly refusing to save to a terminal. Use the -o flag or redirect").with_code(1));
    }
    let engine = settings::engine(global)?;
    // Asked before a file is made, and by the user who may look at the container.
    engine.container(&args.container)?;
    if let Some(code) = within_user_namespace(&engine)? {
        return Ok(code);
    }
    let write = |out: &mut dyn Write| -> Result<(), Failure> {
        let mut out = BufWriter::with_capacity(256 << 10, out);
        engine.export(&args.container, &mut out)?;
        Ok(out.flush()?)
    };
    let Some(path) = &args.output else {
        write(&mut io::stdout().lock())?;
        return Ok(0);
    };
    let is_special = std::fs::metadata(path).is_ok_and(|meta| !meta.is_file());
    if is_special {
        write(&mut File::options().write(true).open(path).with_context(|| format!("open {}", path.display()))?)?;
        return Ok(0);
    }
    // Under its name only when it is complete.
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let mut file = File::create(&temporary).with_context(|| format!("create {}", path.display()))?;
    let written = write(&mut file).and_then(|()| {
        file.sync_all().with_context(|| format!("sync {}", path.display()))?;
        Ok(std::fs::rename(&temporary, path).with_context(|| format!("rename to {}", path.display()))?)
    });
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written.map(|()| 0)
}
