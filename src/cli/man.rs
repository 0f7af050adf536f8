//! `loiter man`: the man pages.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use super::error::{CliError, Result};
use super::output::Output;
use crate::dashboard::keys::{BINDINGS, CLIPBOARD};

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
            fs::write(directory.join(&page.name), &page.roff).map_err(failed)?;
        }
        return Ok(());
    }
    let Some(page) = pages.iter().find(|page| page.name == args.page) else {
        let names: Vec<_> = pages.iter().map(|page| page.name.as_str()).collect();
        return Err(CliError::Usage(format!(
            "there is no page {}; there are {}",
            args.page,
            names.join(", ")
        )));
    };
    output.write(|out| out.write_all(&page.roff))?;
    Ok(())
}

/// A man page.
#[derive(Debug, Clone)]
pub struct Page {
    /// Its file name: "loiter-stacks.1".
    pub name: String,
    /// Its text.
    pub roff: Vec<u8>,
}

/// All pages: section 1 made from the command line's definition, section 5 written by hand.
///
/// # Errors
/// None in practice: they are made in memory.
pub fn pages() -> io::Result<Vec<Page>> {
    let mut root = super::command().disable_help_subcommand(true);
    root.build();
    let commands: Vec<_> =
        root.get_subcommands().map(|command| format!("loiter-{}.1", command.get_name())).collect();
    let formats = FORMATS.map(|(name, _)| name.to_owned());
    let all: Vec<String> = ["loiter.1".to_owned()].into_iter().chain(commands).chain(formats).collect();
    let mut pages = vec![page(root.clone(), &all)?];
    for command in root.get_subcommands() {
        pages.push(page(command.clone(), &all)?);
    }
    pages.extend(FORMATS.map(|(name, roff)| Page { name: name.to_owned(), roff: roff.into() }));
    Ok(pages)
}

/// The pages of section 5.
const FORMATS: [(&str, &str); 4] = [
    ("loiter-snapshot.5", include_str!("../../man/loiter-snapshot.5")),
    ("loiter-diff-json.5", include_str!("../../man/loiter-diff-json.5")),
    ("loiter-leaks-json.5", include_str!("../../man/loiter-leaks-json.5")),
    ("loiter-stacks-json.5", include_str!("../../man/loiter-stacks-json.5")),
];

/// One page; `all` are the file names of all pages.
fn page(command: clap::Command, all: &[String]) -> io::Result<Page> {
    let mut roff = Vec::new();
    // The exit codes get a section of their own instead of running together in one called EXTRA.
    let command = command
        .after_help(clap::builder::Resettable::Reset)
        .after_long_help(clap::builder::Resettable::Reset);
    let page =
        clap_mangen::Man::new(command).manual("loiter").source(concat!("loiter ", env!("CARGO_PKG_VERSION")));
    page.render_title(&mut roff)?;
    page.render_name_section(&mut roff)?;
    page.render_synopsis_section(&mut roff)?;
    page.render_description_section(&mut roff)?;
    page.render_options_section(&mut roff)?;
    let name = page.get_filename();
    if name == "loiter.1" {
        page.render_subcommands_section(&mut roff)?;
    }
    if name == "loiter-watch.1" {
        write_keys(&mut roff)?;
    }
    write_exit_status(&mut roff)?;
    write_see_also(&name, all, &mut roff)?;
    Ok(Page { name, roff })
}

/// The keys of the dashboard.
fn write_keys(roff: &mut Vec<u8>) -> io::Result<()> {
    writeln!(roff, ".SH KEYS")?;
    for binding in BINDINGS {
        // A minus that can be copied, and no request at the beginning of a line.
        let shown = binding.shown.replace('\\', "\\e").replace('-', "\\-");
        writeln!(roff, ".TP\n\\fB{shown}\\fR\n{}", binding.what)?;
    }
    writeln!(roff, ".PP\n{CLIPBOARD}")
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
