//! What processes say of themselves.

/// A longer title is cut.
const LONGEST: usize = 80;

/// What a process says that it does, in the place of its arguments: servers write it behind their name ("nginx: worker
/// process", "postgres: api shop [local] UPDATE waiting", "redis-server 127.0.0.1:6379"). None for ordinary arguments. Raw from
/// the target: escape before printing.
pub(super) fn title(name: &str, command: &[String]) -> Option<String> {
    let (first, rest) = command.split_first()?;
    // What is left of the arguments is empty.
    if rest.iter().any(|argument| !argument.is_empty()) {
        return None;
    }
    let end = first.find([' ', ':'])?;
    let (word, title) = first.split_at_checked(end)?;
    let title = title.trim_start_matches(':').trim();
    if word.rsplit('/').next() != Some(name) || title.is_empty() {
        return None;
    }
    let mut cut: String = title.chars().take(LONGEST).collect();
    if cut.len() < title.len() {
        cut.push('…');
    }
    Some(cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_of_servers() {
        let title = |name: &str, command: &[&str]| {
            title(name, &command.iter().map(|&argument| argument.to_owned()).collect::<Vec<_>>())
        };
        let some = |title: &str| Some(title.to_owned());
        let waiting = "postgres: api shop 127.0.0.1(4711) UPDATE waiting";
        assert_eq!(title("postgres", &[waiting]), some("api shop 127.0.0.1(4711) UPDATE waiting"));
        assert_eq!(title("nginx", &["nginx: worker process", "", ""]), some("worker process"));
        assert_eq!(title("redis-server", &["/usr/bin/redis-server *:6379"]), some("*:6379"));
        assert_eq!(title("x", &[&format!("x: {}", "é".repeat(200))]).map(|it| it.chars().count()), Some(81));
        for (name, command) in [
            ("cat", &["cat"][..]),
            ("cat", &["cat", "a b"]),
            ("My Program", &["/opt/My Program"]),
            ("python3", &["gunicorn: master"]),
            ("nginx", &["nginx: "]),
            ("", &[""]),
            ("x", &[]),
        ] {
            assert_eq!(title(name, command), None, "{command:?}");
        }
    }
}
