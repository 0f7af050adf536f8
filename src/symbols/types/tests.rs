use super::*;

const LIMIT: Duration = Duration::from_secs(600);
