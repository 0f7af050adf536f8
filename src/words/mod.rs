//! The words of runtimes: the meaning of their wait reasons and function names in the model's terms.
//!
//! A reader of a runtime, from its memory or from its output, asks here once and keeps the answer in the
//! snapshot: [`Task::wait_class`](crate::snapshot::Task::wait_class) and
//! [`Function::role`](crate::snapshot::Function::role). All other code uses these.

pub mod go;
pub mod rust;
