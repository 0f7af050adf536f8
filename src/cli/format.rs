//! The options that choose the format of the output.

use std::path::Path;

use clap::ValueEnum;

/// The formats of a command that prints text or JSON, and perhaps others. The default is text.
pub(super) trait PrintFormat: ValueEnum + Default + Send + Sync + 'static {
    /// The format that --json stands for.
    const JSON: Self;
    /// What -h says of --format, in one line.
    const HELP: &'static str;
    /// What --help adds.
    const MORE: &'static str;
}

/// --format and --json, the same in every command that has them.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct FormatArgs<F: PrintFormat> {
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        hide_possible_values = true,
        help = F::HELP,
        long_help = format!("{}\n\n{}", F::HELP, F::MORE),
        help_heading = "Output"
    )]
    format: F,

    /// The same as --format json
    #[arg(long, conflicts_with = "format", help_heading = "Output")]
    json: bool,
}

impl<F: PrintFormat> FormatArgs<F> {
    /// The requested format.
    pub(super) fn format(&self) -> F {
        if self.json { F::JSON } else { self.format.clone() }
    }
}

/// The format by the ending of a file's name.
pub(super) fn by_name<F: Copy>(path: &Path, endings: &[(&str, F)]) -> Option<F> {
    let name = path.file_name()?.to_string_lossy();
    endings.iter().find(|(ending, _)| name.ends_with(ending)).map(|&(_, format)| format)
}

/// The names of all formats, as --format takes them: "svg, folded, text".
pub(super) fn names<F: ValueEnum>() -> String {
    let values = F::value_variants().iter().filter_map(F::to_possible_value);
    values.map(|value| value.get_name().to_owned()).collect::<Vec<_>>().join(", ")
}
