//! Examples of every command, for its help and its man page.

/// A command line, and what it does.
type Example = (&'static str, &'static str);

/// The examples of a command; those of loiter itself for any other name.
pub(super) fn examples_for(command: &str) -> &'static [Example] {
    EXAMPLES.iter().find(|(name, _)| *name == command).map_or(GENERAL, |(_, examples)| examples)
}

const GENERAL: &[Example] = &[
    ("loiter ps", "list the processes that can be read"),
    ("loiter stacks 4242", "show what all goroutines of a process do"),
    #[cfg(feature = "dashboard")]
    ("loiter watch 4242", "the same, live"),
    ("loiter leaks 4242", "watch for half a minute, then say what leaks"),
    ("loiter why 4242", "follow waiting goroutines to the cause, through other processes"),
    ("loiter record 4242", "sample for ten seconds: who uses the CPU"),
    ("kubectl logs api-7f9c | loiter stacks -", "read a crash in a log"),
];

const EXAMPLES: [(&str, &[Example]); 14] = [
    (
        "ps",
        &[
            ("loiter ps", "list the processes that can be read"),
            ("loiter ps --all", "also list the others, with the reason"),
            ("loiter ps --json", "for scripts"),
        ],
    ),
    (
        "snapshot",
        &[
            ("loiter snapshot 4242 -o before.loiter", "save the current state"),
            ("loiter snapshot 4242 --freeze", "one consistent snapshot, in a file with a generated name"),
            ("loiter snapshot core.4242 -o api.loiter", "the tasks of a core file, in a much smaller file"),
        ],
    ),
    (
        "stacks",
        &[
            ("loiter stacks 4242", "equal stacks in groups, the largest first"),
            ("loiter stacks prometheus", "the process with this name"),
            ("loiter stacks 4242 --short", "one line per group"),
            ("loiter stacks 4242 --full | less", "everything"),
            (
                "loiter stacks 4242 --reason \"chan send\" --min-age 10m",
                "senders that have been blocked for long",
            ),
            ("loiter stacks 4242 --group-by label:route", "how many tasks work on each route"),
            ("loiter stacks 4242 --each --sort age --limit 20", "the twenty oldest, one by one"),
            ("loiter stacks crash.log", "a panic or a SIGQUIT dump in a log"),
            ("loiter stacks http://localhost:6060", "through Go's pprof"),
        ],
    ),
    (
        "watch",
        &[
            ("loiter watch 4242", "the dashboard; ? shows the keys"),
            ("loiter watch", "choose a process from a list"),
            ("loiter watch -- ./server --listen :8080", "start a program and watch it"),
            ("loiter watch 4242 --interval 2s --group-by creator", "less often, grouped by creator"),
            ("loiter watch 4242 --record ring/", "save the last readings"),
            ("loiter watch ring/", "go through them again"),
        ],
    ),
    (
        "diff",
        &[
            ("loiter diff before.loiter after.loiter", "what was created, ended and stayed"),
            ("loiter diff before.loiter 4242", "the same up to now"),
            ("loiter diff a.loiter b.loiter --group-by creator --limit 10", "grouped by creator"),
            ("loiter diff a.loiter b.loiter --fail-on leak,growth", "status 1 if a group grows or leaks"),
            ("loiter diff monday.pb.gz friday.pb.gz", "two profiles of Go"),
        ],
    ),
    (
        "leaks",
        &[
            ("loiter leaks 4242", "watch for half a minute, then report"),
            ("loiter leaks -- ./server --listen :8080", "start a program and watch it"),
            ("loiter leaks 4242 --for 5m --fail-on likely", "longer; status 1 if a leak is likely"),
            ("loiter leaks 4242 --format markdown > leaks.md", "a file to share with others"),
            ("loiter leaks 4242 --ignore module:github.com/acme/pool", "leave out a known module"),
            ("loiter leaks profiles/", "the profiles of many hosts"),
        ],
    ),
    (
        "why",
        &[
            ("loiter why 4242", "every cause for which tasks wait, the gravest first"),
            ("loiter why api 1204", "from one goroutine to what it waits for in the end"),
            ("loiter why 4242 --group 1", "the largest group of loiter stacks 4242"),
            ("loiter why --all", "all processes that can be read"),
            ("loiter why 4242 -o why.svg", "a picture for a browser"),
        ],
    ),
    (
        "record",
        &[
            ("loiter record 4242", "which tasks use the CPU, for ten seconds"),
            ("loiter record api --mode all -d 30s", "also what the others wait for"),
            ("loiter record 4242 -o cpu.svg", "a flame graph of the CPU time"),
            ("loiter record 4242 -o cpu.pb.gz", "for go tool pprof"),
            ("loiter record 4242 --group-by label:route", "the CPU time of each route"),
            ("loiter record 4242 --mode wall", "needs no perf events"),
            (
                "loiter record -o run.loiter -- ./batch --once",
                "a program, from its first instruction to its end",
            ),
        ],
    ),
    (
        "gate",
        &[
            ("loiter gate -- ./server --once", "run a program; status 1 if it leaves goroutines behind"),
            ("go test -exec 'loiter gate --' ./...", "every test binary of a repository"),
            ("loiter gate --timeout 30s -- ./server", "run a server for half a minute, then look"),
            ("loiter gate --pid api --max-growth 10/min", "a process that runs, for ten minutes"),
            ("loiter gate --pid api --learn --state api.state", "learn for an hour what is usual"),
            (
                "loiter gate --pid api --state api.state --for 8h --on-trip 'page oncall'",
                "and say when there is more",
            ),
        ],
    ),
    (
        "convert",
        &[
            ("loiter convert dump.txt dump.pb.gz", "a Go dump for go tool pprof"),
            ("loiter convert core.4242 api.loiter", "a core file to a snapshot"),
            ("loiter convert api.loiter - --format json", "to standard output"),
        ],
    ),
    (
        "flame",
        &[
            ("loiter flame 4242", "draw the stacks in the terminal"),
            ("loiter flame 4242 -o tasks.svg --root state", "for a browser, with zoom and search"),
            ("loiter flame 4242 --diff before.loiter -o diff.svg", "orange has grown, blue has shrunk"),
            ("loiter flame 4242 -o tasks.folded", "for other tools"),
        ],
    ),
    ("demo", &[("loiter demo", "the tour")]),
    (
        "completions",
        &[
            ("loiter completions bash > ~/.local/share/bash-completion/completions/loiter", "for bash"),
            ("loiter completions zsh > ~/.zfunc/_loiter", "for zsh, with ~/.zfunc in fpath"),
            ("loiter completions fish > ~/.config/fish/completions/loiter.fish", "for fish"),
        ],
    ),
    (
        "man",
        &[
            ("loiter man loiter-stacks.1 | man -l -", "read a page"),
            ("loiter man -o ~/.local/share/man/man1", "install all pages"),
        ],
    ),
];

/// Wider command lines have their explanation below.
const WIDEST: usize = 54;

/// The examples as help shows them.
pub(super) fn help(command: &str) -> String {
    let examples = examples_for(command);
    let widest = examples.iter().map(|(line, _)| line.len()).filter(|len| *len <= WIDEST).max().unwrap_or(0);
    let mut text = "Examples:".to_owned();
    for (line, what) in examples {
        if line.len() > WIDEST {
            text.push_str(&format!("\n  {line}\n  {:widest$}  {what}", ""));
        } else {
            text.push_str(&format!("\n  {line:widest$}  {what}"));
        }
    }
    text
}
