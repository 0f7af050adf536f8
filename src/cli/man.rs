//! `loiter man`: the man pages.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use super::error::{CliError, Result};
use super::output::{Output, save};
#[cfg(feature = "dashboard")]
use crate::dashboard::keys::{BINDINGS, CLIPBOARD};
use crate::snapshot::file::SHARED;

mod limits;

/// Print a man page, or write all of them to a directory
#[derive(Debug, clap::Args)]
#[command(after_help = super::exit::HELP)]
pub(super) struct Args {
    /// The page to print
    #[arg(default_value = "loiter.1")]
    page: String,

    /// Write all pages to this directory
    #[arg(short, long, value_name = "DIRECTORY", conflicts_with = "page")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &Args, output: &Output) -> Result {
    let pages = pages()?;
    if let Some(directory) = &args.output {
        let failed =
            |source| CliError::Io { what: format!("cannot write to {}", directory.display()), source };
        fs::create_dir_all(directory).map_err(failed)?;
        for page in &pages {
            save(&directory.join(&page.name), SHARED, |out| out.write_all(&page.roff))?;
        }
        return Ok(());
    }
    let Some(page) = pages.iter().find(|page| page.name == args.page) else {
        let names: Vec<_> = pages.iter().map(|page| page.name.as_str()).collect();
        return Err(CliError::Usage(format!("there is no page {}; pages: {}", args.page, names.join(", "))));
    };
    output.write(|out| out.write_all(&page.roff))?;
    Ok(())
}

/// A man page.
#[derive(Debug, Clone)]
pub struct ManPage {
    /// Its file name: "loiter-stacks.1".
    pub name: String,
    /// Its text.
    pub roff: Vec<u8>,
}

/// All pages: section 1 made from the command line's definition, section 5 written by hand, section 7 made from docs/limits.md.
///
/// # Errors
/// None in practice: they are made in memory.
pub fn pages() -> io::Result<Vec<ManPage>> {
    let mut root = super::command().disable_help_subcommand(true);
    root.build();
    let commands: Vec<_> =
        root.get_subcommands().map(|command| format!("loiter-{}.1", command.get_name())).collect();
    let formats = FORMATS.map(|(name, _)| name.to_owned());
    let all: Vec<String> = ["loiter.1".to_owned()]
        .into_iter()
        .chain(commands)
        .chain(formats)
        .chain([LIMITS.to_owned()])
        .collect();
    let mut pages = vec![page(root.clone(), &all)?];
    for command in root.get_subcommands() {
        pages.push(page(command.clone(), &all)?);
    }
    pages.extend(FORMATS.map(|(name, roff)| ManPage { name: name.to_owned(), roff: roff.into() }));
    pages.push(ManPage { name: LIMITS.to_owned(), roff: limits::roff().into() });
    Ok(pages)
}

const LIMITS: &str = "loiter-limits.7";

/// The pages of section 5.
const FORMATS: [(&str, &str); 9] = [
    ("loiter-snapshot.5", include_str!("../../man/loiter-snapshot.5")),
    ("loiter-recording.5", include_str!("../../man/loiter-recording.5")),
    ("loiter-record-json.5", include_str!("../../man/loiter-record-json.5")),
    ("loiter-diff-json.5", include_str!("../../man/loiter-diff-json.5")),
    ("loiter-leaks-json.5", include_str!("../../man/loiter-leaks-json.5")),
    ("loiter-gate-json.5", include_str!("../../man/loiter-gate-json.5")),
    ("loiter-gate-watch-json.5", include_str!("../../man/loiter-gate-watch-json.5")),
    ("loiter-why-json.5", include_str!("../../man/loiter-why-json.5")),
    ("loiter-stacks-json.5", include_str!("../../man/loiter-stacks-json.5")),
];

/// One page; `all` are the file names of all pages.
fn page(command: clap::Command, all: &[String]) -> io::Result<ManPage> {
    let mut roff = Vec::new();
    // The exit codes get a section of their own instead of running together in one called EXTRA.
    let command = command
        .after_help(clap::builder::Resettable::Reset)
        .after_long_help(clap::builder::Resettable::Reset);
    let page = clap_mangen::Man::new(command.clone())
        .manual("loiter")
        .source(concat!("loiter ", env!("CARGO_PKG_VERSION")));
    page.render_title(&mut roff)?;
    page.render_name_section(&mut roff)?;
    write_synopsis(&command, &mut roff)?;
    page.render_description_section(&mut roff)?;
    page.render_options_section(&mut roff)?;
    let name = page.get_filename();
    if name == "loiter.1" {
        page.render_subcommands_section(&mut roff)?;
    }
    #[cfg(feature = "dashboard")]
    if name == "loiter-watch.1" {
        write_keys(&mut roff)?;
    }
    write_examples(command.get_name(), &mut roff)?;
    write_exit_status(&mut roff)?;
    write_see_also(&name, all, &mut roff)?;
    Ok(ManPage { name, roff })
}

/// The keys of the dashboard.
#[cfg(feature = "dashboard")]
fn write_keys(roff: &mut Vec<u8>) -> io::Result<()> {
    writeln!(roff, ".SH KEYS")?;
    for binding in BINDINGS {
        // A minus that can be copied, and no request at the beginning of a line.
        let shown = binding.shown.replace('\\', "\\e").replace('-', "\\-");
        writeln!(roff, ".TP\n\\fB{shown}\\fR\n{}", binding.what)?;
    }
    writeln!(roff, ".PP\n{CLIPBOARD}")
}

/// The options with their values, then what follows them.
fn write_synopsis(command: &clap::Command, roff: &mut Vec<u8>) -> io::Result<()> {
    writeln!(
        roff,
        ".SH SYNOPSIS\n.nh\n.ad l\n.HP\n\\fB{}\\fR",
        quoted(command.get_bin_name().unwrap_or("loiter"))
    )?;
    let shown = |arg: &&clap::Arg| !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version");
    for arg in command.get_arguments().filter(shown).filter(|arg| !arg.is_positional()) {
        let name = match (arg.get_long(), arg.get_short()) {
            (Some(long), Some(short)) => format!("\\fB\\-{short}\\fR|\\fB\\-\\-{}\\fR", quoted(long)),
            (Some(long), None) => format!("\\fB\\-\\-{}\\fR", quoted(long)),
            (None, short) => format!("\\fB\\-{}\\fR", short.unwrap_or_default()),
        };
        let text = format!("{name}{}", values(arg));
        let again = if is_repeated(arg) { "..." } else { "" };
        writeln!(
            roff,
            "{}",
            if arg.is_required_set() { format!("{text}{again}") } else { format!("[{text}]{again}") }
        )?;
    }
    for arg in command.get_positionals().filter(shown) {
        let again = if is_repeated(arg) { "..." } else { "" };
        let behind = if arg.is_last_set() { "\\-\\- " } else { "" };
        let text = format!("{behind}{}{again}", values(arg).trim_start());
        writeln!(roff, "{}", if arg.is_required_set() { text } else { format!("[{text}]") })?;
    }
    if command.has_subcommands() {
        writeln!(roff, "\\fICOMMAND\\fR [\\fIARGUMENT\\fR]...")?;
    }
    writeln!(roff, ".ad b\n.hy")
}

/// " N": the values that follow an option.
fn values(arg: &clap::Arg) -> String {
    if !arg.get_num_args().unwrap_or_default().takes_values() {
        return String::new();
    }
    let names = arg.get_value_names().unwrap_or_default();
    let of_id = arg.get_id().as_str().to_uppercase();
    let names: Vec<&str> =
        if names.is_empty() { vec![&of_id] } else { names.iter().map(|n| n.as_str()).collect() };
    let names = names.iter().map(|name| format!("\\fI{}\\fR", quoted(name)));
    // An optional value follows an equals sign.
    if arg.get_num_args().is_some_and(|range| range.min_values() == 0) {
        return names.map(|name| format!("[={name}]")).collect();
    }
    names.map(|name| format!(" {name}")).collect()
}

fn is_repeated(arg: &clap::Arg) -> bool {
    matches!(arg.get_action(), clap::ArgAction::Append | clap::ArgAction::Count)
        || arg.get_num_args().is_some_and(|range| range.max_values() > 1)
}

/// Text in which hyphens stay what they are.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

fn write_examples(command: &str, roff: &mut Vec<u8>) -> io::Result<()> {
    writeln!(roff, ".SH EXAMPLES")?;
    for (line, what) in super::examples::examples_for(command) {
        writeln!(roff, ".TP\n\\fB{}\\fR\n{}", quoted(line), quoted(what))?;
    }
    Ok(())
}

fn write_exit_status(roff: &mut Vec<u8>) -> io::Result<()> {
    writeln!(roff, ".SH EXIT STATUS")?;
    for line in super::exit::HELP.lines().skip(1) {
        let (code, meaning) = line.trim().split_once("  ").unwrap_or_default();
        writeln!(roff, ".TP\n{code}\n{meaning}")?;
    }
    Ok(())
}

/// "loiter\-diff\-json(5)", for all pages but this one.
fn write_see_also(own: &str, all: &[String], roff: &mut Vec<u8>) -> io::Result<()> {
    let reference = |page: &String| {
        let (name, section) = page.rsplit_once('.').unwrap_or((page, "1"));
        format!("{}({section})", name.replace('-', "\\-"))
    };
    let others: Vec<_> = all.iter().filter(|page| *page != own).map(reference).collect();
    writeln!(roff, ".SH SEE ALSO\n{}", others.join(", "))
}
