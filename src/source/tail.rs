//! The end of what a program prints.

use std::collections::VecDeque;
use std::io::{self, PipeReader, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long the last output of a program that has ended may take to arrive: other processes may keep its pipe open.
const DRAIN: Duration = Duration::from_secs(1);
/// Between two looks at whether all of it has arrived.
const LOOK: Duration = Duration::from_millis(5);
/// Bytes that are kept.
const KEPT: usize = 16 << 10;
/// Lines that are told.
const LINES: usize = 20;

/// Reads a pipe until its end on a thread of its own, and keeps the last bytes.
#[derive(Debug)]
pub(crate) struct Tail {
    kept: Arc<Mutex<VecDeque<u8>>>,
    reader: JoinHandle<()>,
}

impl Tail {
    pub(crate) fn of(mut pipe: PipeReader) -> Tail {
        let kept = Arc::new(Mutex::new(VecDeque::new()));
        let its = Arc::clone(&kept);
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4096];
            loop {
                match pipe.read(&mut bytes) {
                    Ok(0) => break,
                    Ok(read) => {
                        let mut kept = its.lock().unwrap_or_else(PoisonError::into_inner);
                        kept.extend(bytes.get(..read).unwrap_or_default());
                        let excess = kept.len().saturating_sub(KEPT);
                        kept.drain(..excess);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
        });
        Tail { kept, reader }
    }

    /// The last bytes so far.
    fn bytes(&self) -> Vec<u8> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// The last lines. Of a program that has ended, the rest of its output is waited for, but not for long.
    pub(crate) fn lines(&self, has_ended: impl Fn() -> bool) -> Vec<String> {
        let begin = Instant::now();
        while has_ended() && !self.reader.is_finished() && begin.elapsed() < DRAIN {
            thread::sleep(LOOK);
        }
        let bytes = self.bytes();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(LINES)).map(|line| (*line).to_owned()).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_end_of_the_output_is_kept() {
        let (reader, writer) = io::pipe().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "seq 1 20000"]).stdout(writer);
        let mut child = command.spawn().unwrap();
        drop(command);
        let Tail { kept, reader } = Tail::of(reader);
        child.wait().unwrap();
        reader.join().unwrap();
        let kept = kept.lock().unwrap().make_contiguous().to_vec();
        assert!(kept.ends_with(b"\n20000\n") && kept.len() <= KEPT);
    }
}
