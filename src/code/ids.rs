//! Indices of the code tables.

macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);

        impl $name {
            /// The position in its table.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

index!(
    /// Index into [`CodeTables::strings`](super::CodeTables::strings).
    StrId
);
index!(
    /// Index into [`CodeTables::functions`](super::CodeTables::functions).
    FunctionId
);
index!(
    /// Index into [`CodeTables::images`](super::CodeTables::images).
    ImageId
);
index!(
    /// Index into [`CodeTables::locations`](super::CodeTables::locations).
    LocationId
);
index!(
    /// Index into [`CodeTables::stacks`](super::CodeTables::stacks).
    StackId
);
index!(
    /// Index into [`CodeTables::label_sets`](super::CodeTables::label_sets).
    LabelSetId
);
