//! The grid of a dashboard: 12 columns, and as many rows as needed.

use crate::proto::v1::GridLayout;

const COLUMNS: u32 = 12;
const MAX_Y: u32 = 1_000;
const MAX_HEIGHT: u32 = 100;

/// Which cells are taken: a bit per column, by row.
#[derive(Debug, Default)]
pub(super) struct Grid {
    rows: Vec<u16>,
}

impl Grid {
    /// Takes the cells of a layout.
    ///
    /// # Errors
    /// The layout is not within the grid, or overlaps an earlier one.
    pub(super) fn take(&mut self, layout: GridLayout) -> Result<(), String> {
        let GridLayout { x, y, width, height } = layout;
        if !(1..=COLUMNS).contains(&width) {
            return Err(format!("layout: the width is {width}; expected 1 to {COLUMNS} columns"));
        }
        if !(1..=MAX_HEIGHT).contains(&height) {
            return Err(format!("layout: the height is {height}; expected 1 to {MAX_HEIGHT} rows"));
        }
        if x > COLUMNS - width {
            return Err(format!("layout: x is {x}; a width of {width} needs 0 to {}", COLUMNS - width));
        }
        if y > MAX_Y {
            return Err(format!("layout: y is {y}; expected 0 to {MAX_Y}"));
        }
        if !self.is_free(layout) {
            return Err("layout: it overlaps an earlier item; move one of them".to_owned());
        }
        self.mark(layout);
        Ok(())
    }

    /// Takes the first free place of this size, from the top and from the left. The size is within the grid.
    pub(super) fn place(&mut self, width: u32, height: u32) -> GridLayout {
        let mut layout = GridLayout { x: 0, y: 0, width, height };
        while !self.is_free(layout) {
            layout.x += 1;
            if layout.x > COLUMNS - width {
                layout = GridLayout { x: 0, y: layout.y + 1, ..layout };
            }
        }
        self.mark(layout);
        layout
    }

    fn is_free(&self, layout: GridLayout) -> bool {
        let rows = self.rows.iter().skip(layout.y as usize).take(layout.height as usize);
        rows.into_iter().all(|row| row & columns(layout) == 0)
    }

    fn mark(&mut self, layout: GridLayout) {
        let end = (layout.y + layout.height) as usize;
        if self.rows.len() < end {
            self.rows.resize(end, 0);
        }
        for row in &mut self.rows[layout.y as usize..end] {
            *row |= columns(layout);
        }
    }
}

fn columns(layout: GridLayout) -> u16 {
    ((1 << layout.width) - 1) << layout.x
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(x: u32, y: u32, width: u32, height: u32) -> GridLayout {
        GridLayout { x, y, width, height }
    }

    #[test]
    fn layouts_are_within_the_grid_and_do_not_overlap() {
        let mut grid = Grid::default();
        for (layout, part) in [
            (layout(0, 0, 0, 1), "the width is 0"),
            (layout(0, 0, 13, 1), "the width is 13"),
            (layout(0, 0, 1, 0), "the height is 0"),
            (layout(0, 0, 1, 101), "the height is 101"),
            (layout(7, 0, 6, 1), "x is 7; a width of 6 needs 0 to 6"),
            (layout(u32::MAX, 0, 12, 1), "x is 4294967295"),
            (layout(0, 1_001, 1, 1), "y is 1001"),
        ] {
            let error = grid.take(layout).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        for free in [layout(0, 0, 6, 4), layout(6, 0, 6, 2), layout(6, 2, 6, 2), layout(0, 1_000, 12, 100)] {
            assert_eq!(grid.take(free), Ok(()), "{free:?}");
        }
        for taken in [layout(0, 0, 1, 1), layout(5, 3, 2, 1), layout(11, 1, 1, 2), layout(3, 1_000, 1, 1)] {
            assert!(grid.take(taken).unwrap_err().contains("overlaps"), "{taken:?}");
        }
    }

    #[test]
    fn the_first_free_place_is_taken() {
        let mut grid = Grid::default();
        grid.take(layout(0, 0, 7, 2)).unwrap();
        assert_eq!(grid.place(6, 2), layout(0, 2, 6, 2));
        assert_eq!(grid.place(5, 2), layout(7, 0, 5, 2));
        assert_eq!(grid.place(12, 1), layout(0, 4, 12, 1));
        assert_eq!(grid.place(6, 1), layout(6, 2, 6, 1));
    }
}
