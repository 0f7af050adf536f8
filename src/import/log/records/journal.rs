//! The journal of systemd, as `journalctl -o export` and `-o verbose` write it.

/// Bytes that are examined to recognise the format.
const SAMPLE: usize = 16 << 10;

/// An entry.
#[derive(Default)]
pub(super) struct Entry {
    pub(super) message: Option<String>,
    pub(super) time_ns: u64,
    host: String,
    pid: String,
}

impl Entry {
    /// The writer of the entry.
    pub(super) fn writer(&self) -> String {
        if self.pid.is_empty() { self.host.clone() } else { format!("{}[{}]", self.host, self.pid) }
    }

    fn field(&mut self, name: &str, value: String) {
        match name {
            "MESSAGE" => self.message = Some(value),
            "__REALTIME_TIMESTAMP" => {
                self.time_ns = value.parse::<u64>().ok().and_then(|us| us.checked_mul(1000)).unwrap_or(0);
            }
            "_HOSTNAME" => self.host = value,
            "_PID" => self.pid = value,
            _ => {}
        }
    }
}

/// Is it the export format?
pub(super) fn is_export(text: &[u8]) -> bool {
    let start = text.get(..text.len().min(SAMPLE)).unwrap_or_default().trim_ascii_start();
    [
        &b"__CURSOR="[..],
        b"__REALTIME_TIMESTAMP=",
        b"__MONOTONIC_TIMESTAMP=",
        b"_BOOT_ID=",
        b"_HOSTNAME=",
        b"MESSAGE=",
    ]
    .iter()
    .any(|field| start.starts_with(field))
        && (start.starts_with(b"MESSAGE=") || memchr::memmem::find(start, b"\nMESSAGE").is_some())
}

/// Is it the verbose format?
pub(super) fn is_verbose(text: &[u8]) -> bool {
    let start = text.get(..text.len().min(SAMPLE)).unwrap_or_default();
    memchr::memmem::find(start, b"\n    MESSAGE=").is_some() && memchr::memmem::find(start, b" [s=").is_some()
}

/// Reads exported entries: one field per line, a blank line between entries. Values of several lines are
/// binary: a length of eight bytes precedes them.
pub(super) fn export(text: &[u8], into: &mut dyn FnMut(Entry)) {
    let mut entry = Entry::default();
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = split_line(rest);
        rest = after;
        if line.is_empty() {
            into(std::mem::take(&mut entry));
        } else if let Some(at) = memchr::memchr(b'=', line) {
            let (name, value) = (line.get(..at).unwrap_or_default(), line.get(at + 1..).unwrap_or_default());
            entry.field(&String::from_utf8_lossy(name), String::from_utf8_lossy(value).into_owned());
        } else if let Some((length, value)) = rest.split_first_chunk::<8>() {
            let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX).min(value.len());
            let (value, after) = value.split_at(length);
            entry.field(&String::from_utf8_lossy(line), String::from_utf8_lossy(value).into_owned());
            rest = after.strip_prefix(b"\n").unwrap_or(after);
        }
    }
    into(entry);
}

/// Reads verbose entries: a line with the time, then one field per line, indented by four blanks. Deeper
/// indented lines continue the field above.
pub(super) fn verbose(text: &[u8], into: &mut dyn FnMut(Entry)) {
    const DEEPER: &str = "            ";
    let mut entry = Entry::default();
    let mut in_message = false;
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = split_line(rest);
        rest = after;
        let line = String::from_utf8_lossy(line);
        let field = line.strip_prefix("    ").and_then(|field| field.split_once('='));
        let name = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b"_0123456789".contains(&b))
        };
        match field {
            Some((field, value)) if name(field) => {
                entry.field(field, value.to_owned());
                in_message = field == "MESSAGE";
            }
            _ => match line.strip_prefix(DEEPER).filter(|_| in_message) {
                Some(more) => {
                    if let Some(message) = &mut entry.message {
                        message.push('\n');
                        message.push_str(more);
                    }
                }
                None if line.contains(" [s=") => {
                    into(std::mem::take(&mut entry));
                    in_message = false;
                }
                None => {}
            },
        }
    }
    into(entry);
}

fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b'\n', text).unwrap_or(text.len());
    let (line, after) = text.split_at(end);
    (line.strip_suffix(b"\r").unwrap_or(line), after.get(1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_several_lines() {
        let mut text = b"__CURSOR=x\n_PID=7\nMESSAGE\n".to_vec();
        text.extend(5_u64.to_le_bytes());
        text.extend(b"a\n\nb=\nPRIORITY=6\n\nMESSAGE=c\n");
        let mut found = Vec::new();
        export(&text, &mut |entry| found.extend(entry.message));
        assert!(is_export(&text));
        assert_eq!(found, ["a\n\nb=", "c"]);
        let text = b"Sun 2025-03-09 UTC [s=a1;i=0]\n    _PID=7\n    MESSAGE=a\n            \tb\nSun [s=a1]\n    MESSAGE=c\n";
        let mut found = Vec::new();
        verbose(text, &mut |entry| found.extend(entry.message));
        assert!(is_verbose(text));
        assert_eq!(found, ["a\n\tb", "c"]);
    }
}
