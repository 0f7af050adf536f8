//! Reading real processes: memory, files, threads, and the promise that a target always runs on.

#[path = "target/core.rs"]
mod core;
#[path = "target/hostile.rs"]
mod hostile;
#[path = "target/live.rs"]
mod live;
#[path = "target/permission.rs"]
mod permission;
#[path = "target/roles.rs"]
mod roles;
#[path = "target/stop.rs"]
mod stop;
#[path = "target/support.rs"]
mod support;
