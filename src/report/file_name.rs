//! Names of files for which the user gave no name.

use crate::snapshot::Header;

/// "api-server-4242-20261121T034500Z.loiter". The program's name comes from the target: characters that could
/// make it a path or an option are replaced.
pub(crate) fn file_name(header: &Header, extension: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._+".contains(c) { c } else { '_' };
    let name: String = header.target.name.chars().map(plain).take(64).collect();
    let name = name.trim_start_matches('.');
    let name = if name.is_empty() { "snapshot" } else { name };
    let mut parts = vec![name.to_owned()];
    // Dumps usually have neither.
    parts.extend(header.target.pid.map(|pid| pid.to_string()));
    if let Some(ns) = header.taken_at_ns {
        let seconds = i64::try_from(ns / 1_000_000_000).unwrap_or_default();
        let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
        parts.push(time.strftime("%Y%m%dT%H%M%SZ").to_string());
    }
    format!("{}.{extension}", parts.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::TargetInfo;

    #[test]
    fn names_are_harmless() {
        let name = |name: &str| {
            let target = TargetInfo { name: name.to_owned(), pid: Some(7), ..TargetInfo::default() };
            let header = Header { target, taken_at_ns: Some(1_795_000_000_000_000_000), ..Header::default() };
            file_name(&header, "loiter")
        };
        assert_eq!(name("api.server"), "api.server-7-20261118T110640Z.loiter");
        assert_eq!(name("../../etc/x y"), "_.._etc_x_y-7-20261118T110640Z.loiter");
        assert_eq!(name("-o"), "_o-7-20261118T110640Z.loiter");
        assert_eq!(name(""), "snapshot-7-20261118T110640Z.loiter");
        let target = TargetInfo { name: "dump.txt".to_owned(), ..TargetInfo::default() };
        assert_eq!(file_name(&Header { target, ..Header::default() }, "svg"), "dump.txt.svg");
    }
}
