//! Filtering and grouping of snapshots. Never touches a target.
