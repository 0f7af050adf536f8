// What tests/native_lines.rs samples. Lines that the test looks for have marks.
#[inline(always)]
fn step(x: &mut u64) {
    unsafe { std::ptr::write_volatile(x, std::ptr::read_volatile(x).wrapping_mul(636413622384679).wrapping_add(1)) } // inlined
}

#[inline(never)]
fn burn(mut x: u64) {
    loop {
        step(&mut x); // call
    }
}

fn main() {
    println!("ready");
    burn(1);
}
