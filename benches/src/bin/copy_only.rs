//! Only copies a file: the lower bound for a restore_command in Rust.

use std::fs::File;
use std::io;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(from), Some(to)) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other("usage: copy_only FROM TO"));
    };
    io::copy(&mut File::open(from)?, &mut File::create(to)?)?;
    Ok(())
}
