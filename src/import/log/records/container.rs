//! What container runtimes put around each line: Docker's json-file driver, and the CRI format of containerd
//! and CRI-O. Both cut long lines into pieces, which are joined here.

use std::borrow::Cow;

use serde::Deserialize;

use super::super::prefix::moment;

/// A line of the program.
pub(super) struct Message<'a> {
    pub(super) text: Cow<'a, str>,
    /// Nanoseconds since the Unix epoch. 0 if unknown.
    pub(super) time_ns: u64,
}

/// The beginnings of lines that were cut into pieces, one per stream.
#[derive(Default)]
pub(super) struct Containers {
    stdout: String,
    stderr: String,
}

/// A line of Docker's json-file driver.
#[derive(Deserialize)]
struct DockerLine<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    stream: &'a str,
    time: &'a str,
}

impl Containers {
    /// The line of the program, once it is complete.
    pub(super) fn unwrap<'a>(&mut self, line: &'a str) -> Option<Message<'a>> {
        if line.starts_with("{\"log\":")
            && let Ok(docker) = serde_json::from_str::<DockerLine<'a>>(line)
        {
            let time_ns = moment(docker.time).unwrap_or(0);
            return match docker.log {
                Cow::Borrowed(text) => self.join(docker.stream, text, text.ends_with('\n'), time_ns),
                Cow::Owned(text) => {
                    let message = self.join(docker.stream, &text, text.ends_with('\n'), time_ns)?;
                    Some(Message { text: Cow::Owned(message.text.into_owned()), time_ns })
                }
            };
        }
        match cri(line) {
            Some((time_ns, stream, whole, text)) => self.join(stream, text, whole, time_ns),
            None => Some(Message { text: Cow::Borrowed(line), time_ns: 0 }),
        }
    }

    fn join<'a>(&mut self, stream: &str, text: &'a str, whole: bool, time_ns: u64) -> Option<Message<'a>> {
        let begun = if stream == "stdout" { &mut self.stdout } else { &mut self.stderr };
        if !whole {
            begun.push_str(text);
            return None;
        }
        let text = text.trim_end_matches(['\r', '\n']);
        let text = match begun.is_empty() {
            true => Cow::Borrowed(text),
            false => Cow::Owned(std::mem::take(begun) + text),
        };
        Some(Message { text, time_ns })
    }

    /// A line that began and never ended.
    pub(super) fn finish(&mut self) -> Option<Message<'static>> {
        let text = if self.stderr.is_empty() { &mut self.stdout } else { &mut self.stderr };
        (!text.is_empty()).then(|| Message { text: Cow::Owned(std::mem::take(text)), time_ns: 0 })
    }
}

/// `2026-11-21T10:00:00.123456789Z stderr F goroutine 1 [running]:`: time, stream, whether the line is
/// complete, text.
fn cri(line: &str) -> Option<(u64, &str, bool, &str)> {
    let (time, rest) = line.split_once(' ')?;
    let (stream, rest) = rest.split_once(' ')?;
    if !matches!(stream, "stdout" | "stderr") {
        return None;
    }
    let (tags, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let whole = match tags.split(':').next()? {
        "F" => true,
        "P" => false,
        _ => return None,
    };
    Some((moment(time)?, stream, whole, text))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn lines_in_pieces_are_joined() {
        let mut containers = Containers::default();
        let mut unwrap = |line: &str| containers.unwrap(line).map(|m| (m.text.into_owned(), m.time_ns > 0));
        assert_eq!(unwrap("2026-11-21T10:00:00Z stderr P main."), None);
        assert_eq!(unwrap("2026-11-21T10:00:00Z stdout F other"), Some(("other".to_owned(), true)));
        assert_eq!(unwrap("2026-11-21T10:00:00Z stderr F main()"), Some(("main.main()".to_owned(), true)));
        let docker = |log: &str| {
            format!("{{\"log\":\"{log}\",\"stream\":\"stderr\",\"time\":\"2026-11-21T10:00:00.1Z\"}}")
        };
        assert_eq!(unwrap(&docker("plain")), None);
        assert_eq!(unwrap(&docker("\\t/x.go:1\\n")), Some(("plain\t/x.go:1".to_owned(), true)));
        assert_eq!(unwrap("{\"log\":1}"), Some(("{\"log\":1}".to_owned(), false)));
        assert_eq!(unwrap("some stdout F text"), Some(("some stdout F text".to_owned(), false)));
    }
}
