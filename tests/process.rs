//! Reading real processes: memory, files, threads, and the promise that a target always runs on.

#[path = "process/core.rs"]
mod core;
#[path = "process/hostile.rs"]
mod hostile;
#[path = "process/live.rs"]
mod live;
#[path = "process/permission.rs"]
mod permission;
#[path = "process/roles.rs"]
mod roles;
#[path = "process/stop.rs"]
mod stop;
#[path = "process/support.rs"]
mod support;
