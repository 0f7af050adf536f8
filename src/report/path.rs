//! Short forms of source paths.

use crate::snapshot::{Frame, Snapshot};

/// The end of a path, enough to show where the file is: the trailing directories that the path and the package
/// share (for the program's own packages, only those below its module), or else the last directory.
/// "/usr/local/go/src/net/http/server.go" of package "net/http" is "net/http/server.go".
pub(crate) fn short_path<'a>(path: &'a str, package: &str, module: &str) -> &'a str {
    let Some((directory, _)) = path.rsplit_once('/') else { return path };
    let package = match package.strip_prefix(module) {
        Some(inside) if !module.is_empty() => inside.trim_start_matches('/'),
        _ => package,
    };
    let common = directory
        .rsplit('/')
        .zip(package.rsplit('/'))
        .take_while(|(directory, package)| directory == package && !directory.is_empty())
        .count();
    last_components(path, if common == 0 || common > 4 { 2 } else { common + 1 })
}

/// The last `n` components of a path.
fn last_components(path: &str, n: usize) -> &str {
    match path.rmatch_indices('/').nth(n.saturating_sub(1)) {
        Some((slash, _)) => path.get(slash + 1..).unwrap_or(path),
        None => path,
    }
}

/// "internal/fetch/fetch.go:88"; "" if it is not known. Raw from the target: escape before printing.
pub fn place_of(snapshot: &Snapshot, frame: Frame, full_path: bool) -> String {
    let path = snapshot.str(frame.file);
    if path.is_empty() {
        return String::new();
    }
    let package = snapshot.code.functions.get(frame.function.index()).map_or("", |f| snapshot.str(f.package));
    let module =
        snapshot.header.runtimes.first().and_then(|runtime| runtime.module.as_deref()).unwrap_or_default();
    let path = if full_path { path } else { short_path(path, package, module) };
    if frame.line == 0 { path.to_owned() } else { format!("{path}:{}", frame.line) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_end_where_the_package_ends() {
        let module = "example.com/api";
        for (path, package, short) in [
            ("/usr/local/go/src/net/http/server.go", "net/http", "net/http/server.go"),
            (
                "/home/ci/api/internal/fetch/fetch.go",
                "example.com/api/internal/fetch",
                "internal/fetch/fetch.go",
            ),
            ("/home/ci/api/api.go", "example.com/api", "api/api.go"),
            ("/home/ci/api/cmd/api-server/main.go", "main", "api-server/main.go"),
            ("/go/pkg/mod/github.com/a/b@v1.2.3/x.go", "github.com/a/b", "b@v1.2.3/x.go"),
            ("example.com/api/internal/x.go", "example.com/api/internal", "internal/x.go"),
            ("main.go", "main", "main.go"),
            ("/main.go", "main", "/main.go"),
            ("", "main", ""),
            ("_cgo_gotypes.go", "main", "_cgo_gotypes.go"),
        ] {
            assert_eq!(short_path(path, package, module), short, "{path}");
        }
    }
}
