//! The grammar's words as a person typed them: which commands they name, and switches with a value.

use super::Cli;
use clap::CommandFactory;

/// `carboy run`, as far as the arguments name commands: for the hint after a mistake.
pub(crate) fn command_words() -> String {
    let mut words = vec!["carboy".to_owned()];
    let mut command = Cli::command();
    // Not `args`, which panics on what is no UTF-8.
    for arg in
        std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).filter(|arg| !arg.starts_with('-'))
    {
        let Some(found) = command.find_subcommand(&arg).cloned() else { break };
        words.push(found.get_name().to_owned());
        command = found;
    }
    words.join(" ")
}

/// The command with switches that may be given a value, `--switch=false`, in any of the forms of Go's `strconv.ParseBool`.
pub(crate) fn with_switch_values(command: clap::Command) -> clap::Command {
    let boolean = |text: &str| match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("a truth value is wanted: true or false"),
    };
    command
        .mut_args(|arg| match arg.get_action() {
            clap::ArgAction::SetTrue => arg
                .action(clap::ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_value("false")
                .default_missing_value("true")
                .value_parser(boolean),
            _ => arg,
        })
        .mut_subcommands(with_switch_values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        Cli::command().debug_assert();
        with_switch_values(Cli::command()).debug_assert();
    }

    #[test]
    fn switches_take_values() {
        let all = |word: &str| {
            let matches = with_switch_values(Cli::command()).try_get_matches_from(["carboy", "ps", word]).ok()?;
            matches.subcommand()?.1.get_one::<bool>("all").copied()
        };
        for (word, want) in [
            ("--all", Some(true)),
            ("--all=true", Some(true)),
            ("-a=1", Some(true)),
            ("--all=false", Some(false)),
            ("-q", Some(false)),
            ("--all=x", None),
        ] {
            assert_eq!(all(word), want, "{word}");
        }
    }
}
