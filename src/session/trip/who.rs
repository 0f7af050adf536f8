//! Which program a state is of.

use crate::snapshot::Header;

/// A program, and the process that runs it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Who {
    /// The file name of its executable.
    pub name: String,
    /// The build id of its executable. None if it has none.
    pub build_id: Option<String>,
    /// Its runtimes, with their versions: "go1.24.3".
    pub runtime: String,
    /// The pid of the process. None if unknown.
    pub pid: Option<u32>,
    /// When the process started, clock ticks since boot. None if unknown.
    pub start_ticks: Option<u64>,
}

/// How a process is related to one that was seen earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kin {
    /// It is the same one.
    Same,
    /// Another process of the same program.
    OtherProcess,
    /// Another build of the program, or one with another runtime.
    OtherBuild,
    /// Another program.
    OtherProgram,
}

impl Who {
    /// Of what a snapshot was taken.
    pub fn of(header: &Header) -> Who {
        let target = &header.target;
        let runtimes = header.runtimes.iter();
        let runtime = runtimes.map(|runtime| runtime.version.as_deref().unwrap_or(&runtime.name));
        Who {
            name: target.name.clone(),
            build_id: target.build_id.clone(),
            runtime: runtime.collect::<Vec<_>>().join(", "),
            pid: target.pid,
            start_ticks: target.start_ticks,
        }
    }

    /// How `now` is related to this one, which was seen earlier.
    pub fn kin(&self, now: &Who) -> Kin {
        if self.name != now.name {
            Kin::OtherProgram
        } else if self.build_id != now.build_id || self.runtime != now.runtime {
            Kin::OtherBuild
        } else if (self.pid, self.start_ticks) != (now.pid, now.start_ticks) {
            Kin::OtherProcess
        } else {
            Kin::Same
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations() {
        let who = |name: &str, build: &str, pid| Who {
            name: name.to_owned(),
            build_id: Some(build.to_owned()),
            pid: Some(pid),
            ..Who::default()
        };
        let api = who("api", "a1", 7);
        for (now, kin) in [
            (who("api", "a1", 7), Kin::Same),
            (who("api", "a1", 8), Kin::OtherProcess),
            (who("api", "a2", 8), Kin::OtherBuild),
            (who("etcd", "a1", 7), Kin::OtherProgram),
        ] {
            assert_eq!(api.kin(&now), kin);
        }
    }
}
