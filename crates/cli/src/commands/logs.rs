//! `logs`.

use crate::args::{Global, LogsArgs};
use crate::failure::{Failure, Outcome, usage};
use crate::logtime::parse_moment;
use crate::settings;
use carboy_engine::{LogLine, LogOptions};
use std::io::{self, BufWriter, Write};

pub(super) fn logs(global: &Global, args: &LogsArgs) -> Outcome {
    let tail = match args.tail.as_str() {
        "all" | "-1" => None,
        text => Some(text.parse().map_err(|_| usage(format!("invalid value for --tail: {text:?} (a number or all)")))?),
    };
    let moment = |text: &Option<String>| text.as_deref().map(parse_moment).transpose().map_err(usage);
    let options = LogOptions { follow: args.follow, tail, since: moment(&args.since)?, until: moment(&args.until)? };
    let engine = settings::engine(global)?;
    let mut reader = engine.logs(&args.container, options)?;
    let (mut out, mut err) = (BufWriter::new(io::stdout().lock()), BufWriter::new(io::stderr().lock()));
    while let Some(line) = reader.next_line()? {
        if line.is_stderr {
            out.flush()?;
            write(&mut err, &line, args.timestamps)?;
            err.flush()?;
        } else {
            write(&mut out, &line, args.timestamps)?;
            if args.follow {
                out.flush()?;
            }
        }
    }
    out.flush()?;
    Ok(0)
}

fn write(out: &mut impl Write, line: &LogLine, timestamps: bool) -> Result<(), Failure> {
    if timestamps {
        write!(out, "{} ", line.time)?;
    }
    Ok(out.write_all(line.text.as_bytes())?)
}
