//! Fills [`CodeTables`], interning as it goes.

use super::interner::Interner;
use super::{
    CodeTables, Frame, Function, FunctionId, FunctionKind, FunctionRole, Image, ImageId, LabelSet,
    LabelSetId, Location, LocationId, Stack, StackId, StrId,
};

/// Total text that is kept, bytes. The text of an honest program stays far below; a lying program could make
/// every task point to long overlapping texts.
const MAX_TEXT: usize = 256 << 20;
/// Locations that are kept. A program has at most some hundred thousand; one that lies could show others in each sample.
const MAX_LOCATIONS: usize = 1 << 22;
/// Stands for locations that are left out.
const NO_LOCATION: &str = "(left out: too many places)";
/// Warnings that are kept.
const MAX_WARNINGS: usize = 64;
/// Replaces text that is left out.
const LEFT_OUT: &str = "(left out: too much text)";

/// Fills [`CodeTables`], interning as it goes.
#[derive(Debug, Default)]
pub struct CodeBuilder {
    strings: Interner<String>,
    functions: Interner<Function>,
    images: Interner<Image>,
    stacks: Interner<Stack>,
    label_sets: Interner<LabelSet>,
    locations: Vec<Location>,
    /// Stands for the locations that are left out.
    left_out: Option<LocationId>,
    /// The lengths of all stacks together.
    stacked: usize,
    text_bytes: usize,
    text_left_out: bool,
    warnings: Vec<String>,
}

impl CodeBuilder {
    /// Empty tables.
    pub fn new() -> Self {
        Self::default()
    }

    /// The id of a string. When there is too much text in total, a new string is left out, and the snapshot says so.
    pub fn string(&mut self, text: &str) -> StrId {
        let missing = match self.strings.find(text, String::as_str) {
            Ok(id) => return StrId(id),
            Err(missing) => missing,
        };
        if self.text_bytes.saturating_add(text.len()) > MAX_TEXT && text != LEFT_OUT {
            self.text_left_out = true;
            return self.string(LEFT_OUT);
        }
        self.text_bytes += text.len();
        StrId(self.strings.push(missing, text.to_owned()))
    }

    /// The id of a function of the program or a library.
    pub fn function(&mut self, name: &str, package: &str, kind: FunctionKind) -> FunctionId {
        self.function_with(name, package, kind, FunctionRole::default())
    }

    /// The id of a function with this role.
    pub fn function_with(
        &mut self,
        name: &str,
        package: &str,
        kind: FunctionKind,
        role: FunctionRole,
    ) -> FunctionId {
        let (name, package) = (self.string(name), self.string(package));
        let function = Function { name, package, kind, role };
        let found = self.functions.find(&function, |known| known);
        FunctionId(found.unwrap_or_else(|missing| self.functions.push(missing, function)))
    }

    /// A frame in a known function.
    pub fn frame(&mut self, function: FunctionId, file: &str, line: u32) -> Frame {
        Frame { function, file: self.string(file), line }
    }

    /// The id of an image.
    pub fn image(&mut self, image: Image) -> ImageId {
        let found = self.images.find(&image, |known| known);
        ImageId(found.unwrap_or_else(|missing| self.images.push(missing, image)))
    }

    /// Adds a location. The caller keeps the id: locations are not compared here. When there are too many, one stands
    /// for all others, and a warning says so.
    pub fn location(&mut self, location: Location) -> LocationId {
        if self.locations.len() >= MAX_LOCATIONS {
            return self.left_out();
        }
        self.locations.push(location);
        LocationId(self.locations.len() as u32 - 1)
    }

    fn left_out(&mut self) -> LocationId {
        if let Some(known) = self.left_out {
            return known;
        }
        let function = self.function(NO_LOCATION, "", FunctionKind::Foreign);
        let frames = vec![self.frame(function, "", 0)];
        self.locations.push(Location::in_source(frames));
        let id = LocationId(self.locations.len() as u32 - 1);
        self.left_out = Some(id);
        id
    }

    /// The locations that were added, in the order of their ids.
    pub fn locations(&self) -> &[Location] {
        &self.locations
    }

    /// Replaces the frames of a location; there must be some.
    pub fn set_frames(&mut self, id: LocationId, frames: Vec<Frame>) {
        let one = self.left_out != Some(id) && !frames.is_empty();
        if let Some(location) = self.locations.get_mut(id.index()).filter(|_| one) {
            location.frames = frames;
        }
    }

    /// Records the image that a location is in.
    pub fn set_image(&mut self, id: LocationId, image: ImageId) {
        if let Some(location) = self.locations.get_mut(id.index()) {
            location.image = Some(image);
        }
    }

    /// The id of a stack, innermost location first.
    pub fn stack(&mut self, mut locations: Vec<LocationId>) -> StackId {
        let found = self.stacks.find(locations.as_slice(), |stack| &stack.locations);
        StackId(found.unwrap_or_else(|missing| {
            self.stacked = self.stacked.saturating_add(locations.len());
            locations.shrink_to_fit();
            self.stacks.push(missing, Stack { locations })
        }))
    }

    /// The same while all stacks together have fewer locations than this. None for a new stack beyond that.
    pub fn stack_within(&mut self, locations: Vec<LocationId>, most: usize) -> Option<StackId> {
        if self.stacked.saturating_add(locations.len()) <= most {
            return Some(self.stack(locations));
        }
        self.stacks.find(locations.as_slice(), |stack| &stack.locations).ok().map(StackId)
    }

    /// The id of a set of labels; sorts it by key.
    pub fn labels<'a>(&mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> LabelSetId {
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        pairs.sort();
        let pairs: Vec<_> = pairs.into_iter().map(|(k, v)| (self.string(k), self.string(v))).collect();
        self.label_set(&pairs)
    }

    /// The id of a set of labels with known texts, sorted by the text of their keys.
    pub fn label_set(&mut self, pairs: &[(StrId, StrId)]) -> LabelSetId {
        let found = self.label_sets.find(pairs, |set| &set.pairs);
        let set = || LabelSet { pairs: pairs.to_vec() };
        LabelSetId(found.unwrap_or_else(|missing| self.label_sets.push(missing, set())))
    }

    /// A function that was added.
    pub fn function_at(&self, id: FunctionId) -> Option<&Function> {
        self.functions.get(id.0)
    }

    /// The locations of a stack that was added, innermost first. Empty for an unknown id.
    pub fn stack_at(&self, id: StackId) -> &[LocationId] {
        self.stacks.get(id.0).map_or(&[], |stack| &stack.locations)
    }

    /// The text of a string that was added.
    pub fn text(&self, id: StrId) -> &str {
        self.strings.get(id.0).map_or("", String::as_str)
    }

    /// The name of a function that was added.
    pub fn function_name(&self, id: FunctionId) -> &str {
        self.functions.get(id.0).map_or("", |function| self.text(function.name))
    }

    /// Adds a warning about these tables for the user, one sentence; each once.
    pub fn warn(&mut self, sentence: String) {
        if self.warnings.len() < MAX_WARNINGS && !self.warnings.contains(&sentence) {
            self.warnings.push(sentence);
        }
    }

    /// Warnings about these tables for the user, each one sentence. Empty if nothing was left out.
    pub fn warnings(&self) -> Vec<String> {
        let left_out = || format!("more than {} MiB of text: the rest is left out", MAX_TEXT >> 20);
        let places = || format!("more than {MAX_LOCATIONS} places in code: the rest is left out");
        let all = self.warnings.iter().cloned().chain(self.text_left_out.then(left_out));
        all.chain(self.left_out.map(|_| places())).collect()
    }

    /// The finished tables.
    pub fn finish(self) -> CodeTables {
        CodeTables {
            strings: self.strings.into_values(),
            functions: self.functions.into_values(),
            images: self.images.into_values(),
            locations: self.locations,
            stacks: self.stacks.into_values(),
            label_sets: self.label_sets.into_values(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_much_text_is_left_out_and_said() {
        let mut builder = CodeBuilder::new();
        let known = builder.string("known");
        let long = builder.string(&"x".repeat(MAX_TEXT));
        assert_eq!(builder.text(long), "(left out: too much text)");
        assert_eq!(builder.string("known"), known);
        assert_eq!(builder.warnings().len(), 1);
    }

    #[test]
    fn stacks_have_room_together() {
        let mut builder = CodeBuilder::new();
        let place = |nth| LocationId(nth);
        let one = builder.stack_within(vec![place(1), place(2)], 3);
        assert!(one.is_some());
        assert_eq!(builder.stack_within(vec![place(3), place(4)], 3), None);
        assert_eq!(builder.stack_within(vec![place(1), place(2)], 3), one, "it is there already");
        assert!(builder.stack_within(vec![place(3)], 3).is_some());
    }

    #[test]
    fn too_many_places_are_one_and_said() {
        let mut builder = CodeBuilder::new();
        builder.locations = vec![Location::default(); MAX_LOCATIONS];
        let one = builder.location(Location::default());
        assert_eq!(builder.location(Location::default()), one);
        builder.set_frames(one, vec![Frame { function: FunctionId(7), file: StrId(7), line: 7 }]);
        assert_ne!(builder.locations()[one.index()].frames[0].line, 7, "it stands for others, too");
        assert_eq!(builder.warnings().len(), 1);
    }
}
