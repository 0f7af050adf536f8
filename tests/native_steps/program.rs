//! Rust code of many shapes, short enough to be run instruction by instruction.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

trait Shape {
    fn area(&self, depth: u32) -> f64;
}

struct Square(f64);
struct Nested(Vec<Box<dyn Shape>>);

impl Shape for Square {
    #[inline(never)]
    fn area(&self, _: u32) -> f64 {
        self.0 * self.0
    }
}

impl Shape for Nested {
    #[inline(never)]
    fn area(&self, depth: u32) -> f64 {
        self.0.iter().map(|shape| shape.area(depth + 1)).sum()
    }
}

#[inline(never)]
fn words(text: &str) -> Result<Vec<u64>, std::num::ParseIntError> {
    text.split_whitespace().map(str::parse).collect()
}

fn main() {
    let mut numbers: Vec<u64> = (1..40u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40).collect();
    numbers.sort_by_key(|number| std::cmp::Reverse(*number));
    let mut text = String::new();
    for number in numbers.iter().take(10) {
        write!(text, "{number} ").unwrap();
    }
    let found = words(&text).unwrap();
    assert!(words("1 x").is_err());
    let counted: HashMap<u64, usize> = found.iter().enumerate().map(|(nth, n)| (*n, nth)).collect();
    let sorted: BTreeMap<_, _> = counted.iter().collect();
    let inner = Nested(vec![Box::new(Square(2.0)), Box::new(Square(3.0))]);
    let outer = Nested(vec![Box::new(inner), Box::new(Square(1.5))]);
    println!("{sorted:?} {:.2}", outer.area(0));
}
