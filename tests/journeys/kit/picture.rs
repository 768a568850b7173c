//! What a terminal shows, as an SVG: a grid of cells, their colours kept, so that a change of the view is seen in a diff.

use std::fmt::Write;

use vt100::{Cell, Color, Screen};

/// The screen as it stands, on a dark ground.
pub(crate) fn picture(screen: &Screen) -> String {
    let (rows, cols) = screen.size();
    let (wide, high) = (f64::from(cols) * CELL.0 + 2.0 * MARGIN, f64::from(rows) * CELL.1 + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{wide:.0}\" height=\"{high:.0}\" \
         font-family=\"'DejaVu Sans Mono', 'Liberation Mono', monospace\" font-size=\"14\" shape-rendering=\"crispEdges\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{GROUND}\"/>\n"
    );
    for row in 0..rows {
        let mut col = 0;
        while col < cols {
            let look = Look::of(screen.cell(row, col));
            let mut text = String::new();
            let begin = col;
            while col < cols && Look::of(screen.cell(row, col)) == look {
                let cell = screen.cell(row, col).filter(|cell| cell.has_contents());
                text += &cell.map_or(" ".to_owned(), Cell::contents);
                col += 1;
            }
            look.draw(&mut svg, (begin, col, row), &text);
        }
    }
    svg + "</svg>\n"
}

/// What cells that are drawn together have in common.
#[derive(PartialEq)]
struct Look {
    ink: String,
    ground: Option<String>,
    bold: bool,
}

impl Look {
    fn of(cell: Option<&Cell>) -> Look {
        let Some(cell) = cell else { return Look { ink: INK.into(), ground: None, bold: false } };
        let (ink, ground) = (colour(cell.fgcolor()), colour(cell.bgcolor()));
        let (ink, ground) = if cell.inverse() {
            (ground.or(Some(GROUND.into())), Some(ink.unwrap_or(INK.into())))
        } else {
            (ink, ground)
        };
        Look { ink: ink.unwrap_or(INK.into()), ground, bold: cell.bold() }
    }

    fn draw(&self, svg: &mut String, (begin, end, row): (u16, u16, u16), text: &str) {
        let (x, y) = (f64::from(begin) * CELL.0 + MARGIN, f64::from(row) * CELL.1 + MARGIN);
        let wide = f64::from(end - begin) * CELL.0;
        if let Some(ground) = &self.ground {
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{}\" fill=\"{ground}\"/>",
                CELL.1
            );
        }
        if text.contains(BLOCKS) {
            return self.draw_blocks(svg, (x, y), text);
        }
        let shown = text.trim_end();
        if shown.is_empty() {
            return;
        }
        // the reader's font may be a little wider or narrower than the cell: a run keeps its place and its length
        let blank = shown.chars().take_while(|c| *c == ' ').count();
        let (x, cells) = (x + blank as f64 * CELL.0, shown.chars().count() - blank);
        let text = shown.trim_start().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let text = text.replace(' ', "\u{a0}"); // two of the others would be shown as one
        let bold = if self.bold { " font-weight=\"bold\"" } else { "" };
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{:.1}\" fill=\"{}\" textLength=\"{:.1}\" lengthAdjust=\"spacingAndGlyphs\"{bold}>{text}</text>",
            y + BASE,
            self.ink,
            cells as f64 * CELL.0
        );
    }

    /// The bars of a curve, without the seams that a font has between lines.
    fn draw_blocks(&self, svg: &mut String, (x, y): (f64, f64), text: &str) {
        for (at, block) in text.chars().enumerate().filter(|(_, c)| BLOCKS(*c)) {
            let high = f64::from(u32::from(block) - u32::from(BLOCK) + 1) / 8.0 * CELL.1;
            let _ = writeln!(
                svg,
                "<rect x=\"{:.1}\" y=\"{:.2}\" width=\"{}\" height=\"{high:.2}\" fill=\"{}\"/>",
                x + at as f64 * CELL.0,
                y + CELL.1 - high,
                CELL.0,
                self.ink
            );
        }
    }
}

/// A colour as in a style sheet; `None`: the terminal's own.
fn colour(colour: Color) -> Option<String> {
    let (red, green, blue) = match colour {
        Color::Default => return None,
        Color::Rgb(red, green, blue) => (red, green, blue),
        Color::Idx(index @ 0..16) => return Some(SIXTEEN[usize::from(index)].to_owned()),
        Color::Idx(index @ 16..232) => {
            let step = |part: u8| if part == 0 { 0 } else { 55 + 40 * part };
            let index = index - 16;
            (step(index / 36), step(index / 6 % 6), step(index % 6))
        }
        Color::Idx(index) => (8 + 10 * (index - 232), 8 + 10 * (index - 232), 8 + 10 * (index - 232)),
    };
    Some(format!("#{red:02x}{green:02x}{blue:02x}"))
}

/// From an eighth of a cell to a whole one.
const BLOCK: char = '\u{2581}';
const BLOCKS: fn(char) -> bool = |c| ('\u{2581}'..='\u{2588}').contains(&c);
/// A cell in pixels, and from its top to the line that letters stand on.
const CELL: (f64, f64) = (8.4, 17.0);
const BASE: f64 = 13.0;
const MARGIN: f64 = 10.0;
const GROUND: &str = "#11151a";
const INK: &str = "#d7dce2";
const SIXTEEN: [&str; 16] = [
    "#3b4048", "#ef6b73", "#7fcf7f", "#e5c07b", "#6fb3ff", "#c792ea", "#5fd0d0", "#c8ccd4", "#7a828e",
    "#ff8a91", "#9be89b", "#ffd98a", "#96caff", "#dcaeff", "#86e6e6", "#ffffff",
];
