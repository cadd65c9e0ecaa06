//! Many rows in statements of a few sizes.
//!
//! A connection keeps every statement that it has prepared, a hundred of them, with room for its values: one for each
//! number of rows would cost more to prepare than to run, and PostgreSQL hundreds of MiB for each connection.
//!
//! The largest statement should fit a TLS record, 16 KiB: sqlx 0.9.0 sends each record by itself over a socket without
//! `TCP_NODELAY`, and the last of several waits 40 ms for an acknowledgement
//! (<https://github.com/launchbadge/sqlx/issues/4335>).

/// Rows of a statement where a row has up to 1 KiB; the largest number first.
pub const SIZES: [usize; 3] = [16, 4, 1];

/// `rows` parted as `sizes` allow, which go down to 1.
pub fn blocks<'r, T>(rows: &'r [T], sizes: &'r [usize]) -> impl Iterator<Item = &'r [T]> {
    parts(rows.len(), sizes).scan(rows, |rest, size| {
        let (block, behind) = rest.split_at_checked(size)?;
        *rest = behind;
        Some(block)
    })
}

/// How many rows each part of `rows` has.
pub fn parts(rows: usize, sizes: &[usize]) -> impl Iterator<Item = usize> {
    let parted = sizes.iter().scan(rows, |rest, &size| {
        let times = *rest / size;
        *rest %= size;
        Some(std::iter::repeat_n(size, times))
    });
    parted.flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_block_and_in_its_place() {
        for count in 0..100 {
            let rows: Vec<usize> = (0..count).collect();
            let parted: Vec<&[usize]> = blocks(&rows, &SIZES).collect();
            assert_eq!(parted.concat(), rows);
            assert!(parted.iter().all(|block| SIZES.contains(&block.len())), "{parted:?}");
        }
    }
}
