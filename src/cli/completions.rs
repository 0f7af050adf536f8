//! `loiter completions`.

use std::process::{Command, Stdio};

use clap::builder::PossibleValuesParser;
use clap_complete::Shell;

use super::error::Result;
use super::output::Output;

/// Print a completion script for a shell
///
/// The scripts for bash, zsh and fish also complete pids and names of processes that loiter can read.
#[derive(Debug, clap::Args)]
#[command(after_help = super::exit::HELP)]
pub(super) struct Args {
    /// The shell
    #[arg(required_unless_present = "processes")]
    shell: Option<Shell>,

    /// Print what a script completes for a source: a pid or a name, a tab, and a description
    #[arg(long, hide = true)]
    processes: bool,
}

pub(super) fn run(args: &Args, output: &Output) -> Result {
    let script = match args.shell {
        Some(shell) => script(shell),
        None => processes(),
    };
    output.write(|out| std::io::Write::write_all(out, script.as_bytes()))?;
    Ok(())
}

/// Commands that take a source.
const COMMANDS: [&str; 8] = ["snapshot", "stacks", "watch", "diff", "leaks", "why", "convert", "flame"];

/// The clocks of recordings.
const CLOCKS: &[&str] = &["cpu", "off-cpu", "wall"];

/// Values of options that the parser takes as text, because there may be others.
const VALUES: [(&str, &str, &[&str]); 12] = [
    (
        "stacks",
        "group_by",
        &["stack", "function", "state", "creator", "label:", "waits-on", "kind", "thread", "task"],
    ),
    ("watch", "group_by", &["stack", "function", "state", "creator", "label:", "waits-on"]),
    ("flame", "root", &["none", "state", "creator", "label:", "thread", "kind", "task", "function"]),
    ("flame", "clock", CLOCKS),
    ("record", "group_by", &["kind", "label:", "creator", "function", "state", "thread", "task"]),
    (
        "diff",
        "group_by",
        &["function", "line", "creator", "cumulative", "kind", "label:", "state", "thread", "task"],
    ),
    ("diff", "clock", CLOCKS),
    ("diff", "fail_on", &["leak", "growth"]),
    ("leaks", "fail_on", &["proven", "stuck", "likely", "suspect", "scheduler"]),
    ("leaks", "ignore", &["function:", "creator:", "module:"]),
    ("leaks", "span", &["30s", "2m", "10m"]),
    ("leaks", "every", &["1s", "5s", "30s"]),
];

fn script(shell: Shell) -> String {
    let mut command = super::command();
    for (name, option, values) in VALUES {
        command = command.mut_subcommand(name, |command| {
            command.mut_args(|arg| match arg.get_id().as_str() == option {
                true => arg.value_parser(PossibleValuesParser::new(values)),
                false => arg,
            })
        });
    }
    // clap_complete panics when it cannot write; so it writes to memory.
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut command, "loiter", &mut bytes);
    let script = String::from_utf8_lossy(&bytes).into_owned();
    match shell {
        Shell::Bash => script + &bash(&mut command),
        Shell::Zsh => zsh(&script),
        Shell::Fish => script + &fish(),
        _ => script,
    }
}

/// Completes sources instead of listing clap_complete's options, and leaves the rest to it.
fn bash(command: &mut clap::Command) -> String {
    command.build();
    let mut with_value: Vec<String> = Vec::new();
    for arg in command.get_subcommands().chain([&*command]).flat_map(clap::Command::get_arguments) {
        let takes = arg.get_num_args().is_some_and(|range| range.min_values() > 0);
        if takes && !arg.is_positional() && arg.get_long() != Some("pid") {
            with_value.extend(arg.get_long().map(|long| format!("--{long}")));
            with_value.extend(arg.get_short().map(|short| format!("-{short}")));
        }
    }
    with_value.sort();
    with_value.dedup();
    BASH.replace("COMMANDS", &COMMANDS.join("|")).replace("WITH_VALUE", &with_value.join("|"))
}

const BASH: &str = r#"
# Pids and names of processes, beside files, where a source may stand.
_loiter_sources() {
    local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" word command=""
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$word" in
            COMMANDS) command="$word"; break ;;
        esac
    done
    if [[ -z "$command" || "$cur" == -* || "$cur" == "=" || "$prev" == "=" ]]; then
        _loiter "$@"
        return
    fi
    case "$prev" in
        WITH_VALUE) _loiter "$@"; return ;;
    esac
    local IFS=$'\n'
    COMPREPLY=($(compgen -W "$(loiter completions --processes 2>/dev/null | cut -f1)" -- "$cur"))
    COMPREPLY+=($(compgen -f -- "$cur"))
    compopt -o filenames 2>/dev/null
}

complete -F _loiter_sources -o nosort -o bashdefault -o default loiter 2>/dev/null ||
    complete -F _loiter_sources -o bashdefault -o default loiter
"#;

/// Replaces the function that completes source paths by one that knows processes.
fn zsh(script: &str) -> String {
    let mut text = String::new();
    for line in script.lines() {
        let source = [":source -- ", ":sources -- ", "*::sources -- ", "::source -- ", ":SOURCE:"];
        match line.strip_suffix(":_files' \\").or_else(|| line.strip_suffix(":_files' && ret=0")) {
            Some(head) if source.iter().any(|name| head.contains(name)) => {
                text.push_str(head);
                text.push_str(":_loiter_sources");
                text.push_str(line.get(head.len() + ":_files".len()..).unwrap_or_default());
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    let text = text.replace(":PID:_default' \\", ":PID:_loiter_sources' \\");
    // The last lines call or register the function; it must be there before.
    let at = text.find("_loiter() {").unwrap_or(0);
    let (before, after) = text.split_at(at);
    format!("{before}{ZSH}{after}")
}

const ZSH: &str = r#"# Pids and names of processes, beside files.
_loiter_sources() {
    local -a processes
    local line
    for line in ${(f)"$(loiter completions --processes 2>/dev/null)"}; do
        processes+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    _describe -t processes process processes
    _files
}

"#;

/// Adds processes to the files that fish offers by itself.
fn fish() -> String {
    let one = |command: &str| {
        format!(
            "complete -c loiter -n \"__fish_loiter_using_subcommand {command}\" -k -a \
             \"(loiter completions --processes 2>/dev/null)\"\n"
        )
    };
    COMMANDS.iter().map(|command| one(command)).collect()
}

/// Processes that can be read, each by its pid and, once, by its name.
fn processes() -> String {
    let listed = Command::new("/proc/self/exe").args(["ps", "--json"]).stderr(Stdio::null()).output();
    let listed = listed.ok().and_then(|output| serde_json::from_slice(&output.stdout).ok());
    let listed: serde_json::Value = listed.unwrap_or_default();
    let processes = listed.get("processes").and_then(serde_json::Value::as_array);
    let (mut pids, mut names) = (String::new(), Vec::new());
    for process in processes.into_iter().flatten() {
        let Some(pid) = process.get("pid").and_then(serde_json::Value::as_u64) else { continue };
        let name = process.get("name").and_then(serde_json::Value::as_str).unwrap_or_default();
        // Other names would need quotes, which differ from shell to shell.
        let plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        let name = if name.chars().all(plain) && !name.starts_with('-') { name } else { "" };
        pids.push_str(&format!("{pid}\t{name}\n"));
        if !name.is_empty() && name.parse::<u32>().is_err() {
            names.push(format!("{name}\tpid {pid}\n"));
        }
    }
    names.sort();
    names.dedup_by(|a, b| a.split('\t').next() == b.split('\t').next());
    pids + &names.concat()
}
