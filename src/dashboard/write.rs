//! Writes what is on the screen to a file in the current directory.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::query::{GroupSort, Query};
use super::tables;
use super::update::What;
use crate::analysis::SortBy;
use crate::analysis::group::group_selected;
use crate::full_text;
use crate::report::file_name::file_name;
use crate::report::flame::svg::{self, Cut, SvgOptions};
use crate::report::flame::{Caption, Colors, nothing};
use crate::report::text::{self, TextOptions};
use crate::report::units::bytes;
use crate::session::Picture;
use crate::snapshot::file;

/// Frames narrower than this part of the graph are left out, percent.
const MIN_WIDTH: f64 = 0.05;

/// Writes a file; returns a sentence that says where, or why not.
pub(super) fn write(what: What, picture: &Picture, query: &Query) -> Result<String, String> {
    let path = path(what, picture);
    let failed = |error: &(dyn std::error::Error + 'static)| {
        format!("cannot write {}: {}", path.display(), full_text(error))
    };
    match what {
        What::Snapshot => file::save(&picture.snapshot, &path).map_err(|error| failed(&error))?,
        What::Report => save(&path, |out| report(picture, query, out)).map_err(|error| failed(&error))?,
        What::Flame => save(&path, |out| graph(picture, query, out)).map_err(|error| failed(&error))?,
    }
    let size = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
    Ok(format!("wrote {} ({})", path.display(), bytes(size)))
}

fn path(what: What, picture: &Picture) -> PathBuf {
    let extension = match what {
        What::Snapshot => "loiter",
        What::Report => "txt",
        What::Flame => "svg",
    };
    file_name(&picture.snapshot.header, extension).into()
}

/// First to a temporary file, which is then renamed.
fn save(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    file::replace(path, file::PRIVATE, |file| {
        let mut out = BufWriter::new(file);
        write(&mut out)?;
        out.flush()
    })
}

fn report(picture: &Picture, query: &Query, out: &mut dyn Write) -> io::Result<()> {
    let snapshot = &*picture.snapshot;
    let sort = match query.group_sort {
        GroupSort::Count | GroupSort::Change | GroupSort::Rate => SortBy::Count,
        GroupSort::Cpu | GroupSort::Active => SortBy::Count,
        GroupSort::Age => SortBy::Age,
        GroupSort::Name => SortBy::Name,
    };
    let selection = query.wanted.select(snapshot, query.system);
    let grouped = group_selected(snapshot, &selection, false, &query.key, sort, None);
    let options = TextOptions { verbose: true, time: true, ..TextOptions::default() };
    text::groups(snapshot, &grouped, &query.key, &options, out)
}

fn graph(picture: &Picture, query: &Query, out: &mut dyn Write) -> io::Result<()> {
    let snapshot = &*picture.snapshot;
    let selection = query.wanted.select(snapshot, query.system);
    let flame = tables::flame(snapshot, &selection, query);
    let caption = Caption::new(snapshot, query.mark.as_ref().map(|mark| &*mark.snapshot));
    if let Some(why) = nothing(&flame, &caption.noun) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let cut = Cut::new(&flame, MIN_WIDTH);
    let options = SvgOptions { colors: Colors::default(), inverted: query.flame.reverse };
    svg::write(&flame, &cut, &caption, &options, out)
}
