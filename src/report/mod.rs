//! One file a format; every exporter is a pure function of a snapshot.
