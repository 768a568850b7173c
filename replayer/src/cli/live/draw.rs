//! The screen: where the run stands, its load, its latency, its errors, what was injected.

use std::time::Instant;

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, LineGauge, Paragraph, Row, Sparkline, Table};

use super::model::{Figure, Model};
use crate::Stop;
use crate::report::Second;
use crate::report::text::{number, time};
use crate::stop::Wish;

/// What the user has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Running,
    Paused,
    Stopping,
    StoppingAtOnce,
}

impl State {
    pub(super) fn of(stop: &Stop) -> State {
        match stop.wish() {
            Wish::Run if stop.is_paused() => State::Paused,
            Wish::Run => State::Running,
            Wish::Drain => State::Stopping,
            Wish::Abort => State::StoppingAtOnce,
        }
    }

    fn words(self) -> (&'static str, Color) {
        match self {
            State::Running => ("running", Color::Green),
            State::Paused => ("PAUSED: nothing new is sent", Color::Yellow),
            State::Stopping => ("STOPPING: what is in flight may finish", Color::Yellow),
            State::StoppingAtOnce => ("STOPPING at once", Color::Red),
        }
    }
}

/// Draws a run as it stands.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, state: State) {
    let all = frame.area();
    if all.width < NARROW || all.height < LOW {
        return frame.render_widget(Paragraph::new(few_words(model, state)), all);
    }
    let [head, gauge, figures, curves, tables, notes, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(4),
        Constraint::Min(5),
        Constraint::Length(table_height(model, all.height)),
        Constraint::Length(u16::from(!model.notes.is_empty())),
        Constraint::Length(1),
    ])
    .areas(all);
    draw_head(frame, head, model, state);
    draw_gauge(frame, gauge, model);
    draw_figures(frame, figures, model);
    draw_curves(frame, curves, model);
    let [errors, rules] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).spacing(GAP).areas(tables);
    let by_class = model.errors.iter().map(|(class, figure)| (*class, *figure));
    draw_table(frame, errors, ("errors", "none so far"), by_class);
    let by_rule = model.rules.iter().map(|(rule, figure)| (rule.as_str(), *figure));
    draw_table(frame, rules, ("injected, by rule", "nothing so far"), by_rule);
    if let Some(note) = model.notes.back() {
        frame.render_widget(Paragraph::new(format!("note: {note}")).style(Color::Yellow), notes);
    }
    draw_keys(frame, keys, state);
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, model: &Model, state: State) {
    let (words, color) = state.words();
    let state = Span::styled(words, Style::new().fg(color).add_modifier(Modifier::BOLD));
    let [left, right] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(state.width() as u16 + 1)]).areas(area);
    let title = format!("replay {} to {}", model.capture, model.target);
    frame.render_widget(Paragraph::new(title).style(Modifier::BOLD), left);
    frame.render_widget(Paragraph::new(state).alignment(Alignment::Right), right);
}

fn draw_gauge(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let share = model.share(Instant::now());
    let gauge = LineGauge::default()
        .ratio(share)
        .label(format!("{:>3.0} %", share * 100.0))
        .filled_style(Color::Cyan)
        .unfilled_style(Color::DarkGray);
    frame.render_widget(gauge, area);
}

fn draw_figures(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let now = model.seconds.back().cloned().unwrap_or_default();
    let of_plan = |whole: u64| if whole > 0 { format!(" of {}", number(whole)) } else { String::new() };
    let at = Instant::now();
    let elapsed = model.clock.elapsed_us(at);
    let left = model.left_us(at).map_or_else(String::new, |left| format!(", {} left", clock(left)));
    // where the curves stand side by side, the figures stand above them
    let half = if area.width >= WIDE { usize::from((area.width + GAP) / 2) } else { HALF };
    let pair = |left, right| pair(left, right, half);
    let lines = vec![
        pair(
            ("time", format!("{}{left}", clock(elapsed))),
            (
                "sessions",
                format!("{} alive{}", number(now.active), model.sessions.map_or_else(String::new, of_plan)),
            ),
        ),
        pair(
            ("rate", format!("{}/s{}", number(now.sent), planned(&now))),
            ("sent", format!("{}{}", number(model.sent), of_plan(model.planned))),
        ),
        pair(
            ("latency", format!("p50 {} p90 {} p99 {}", time(now.p50), time(now.p90), time(now.p99))),
            ("failed", format!("{} ({}/s)", number(model.failed), number(now.failed))),
        ),
        pair(
            ("lateness", format!("p99 {} (ours)", time(now.lateness_p99))),
            ("injected", format!("{}/s", number(now.injected))),
        ),
    ];
    frame.render_widget(Paragraph::new(lines), area);
}

fn planned(now: &Second) -> String {
    format!(" of {}/s planned", number(now.planned))
}

/// Two figures in a line, each beside its name; the second begins at the column `half`.
fn pair(left: (&'static str, String), right: (&'static str, String), half: usize) -> Line<'static> {
    let room = half - NAME - 1;
    let dim = Style::new().fg(Color::DarkGray);
    Line::from(vec![
        Span::styled(format!("{:<NAME$}", left.0), dim),
        Span::raw(format!("{:<room$} ", left.1)), // however long it is, the next does not touch it
        Span::styled(format!("{:<NAME$}", right.0), dim),
        Span::raw(right.1),
    ])
}

fn draw_curves(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let side_by_side = area.width >= WIDE;
    let halves = [Constraint::Fill(1), Constraint::Fill(1)];
    let [rate, latency] =
        if side_by_side { Layout::horizontal(halves).spacing(GAP) } else { Layout::vertical(halves) }
            .areas(area);
    let per_second = |count| format!("{}/s", number(count));
    let sent =
        Curve { title: "requests sent", color: Color::Cyan, value: |second| second.sent, words: per_second };
    draw_curve(frame, rate, model, &sent);
    let title = "latency, p99 of each second";
    let p99 = Curve { title, color: Color::Magenta, value: |second| second.p99, words: time };
    draw_curve(frame, latency, model, &p99);
}

/// What a curve shows, and how its values are written.
struct Curve {
    title: &'static str,
    color: Color,
    value: fn(&Second) -> u64,
    words: fn(u64) -> String,
}

/// The last seconds as a curve under a title with its largest value.
fn draw_curve(frame: &mut Frame<'_>, area: Rect, model: &Model, curve: &Curve) {
    let &Curve { title, color, value, words } = curve;
    let shown = model.seconds.len().min(usize::from(area.width));
    let values: Vec<u64> = model.seconds.iter().skip(model.seconds.len() - shown).map(value).collect();
    let most = values.iter().copied().max().unwrap_or(0);
    let title = format!("{title}, last {shown} s, top {} ", words(most));
    let block = Block::new()
        .borders(Borders::TOP)
        .title(title)
        .border_style(Color::DarkGray)
        .title_style(Color::Reset);
    frame.render_widget(Sparkline::default().block(block).data(&values).max(most.max(1)).style(color), area);
}

fn draw_table<'a>(
    frame: &mut Frame<'_>,
    area: Rect,
    (title, nothing): (&'a str, &'a str),
    figures: impl Iterator<Item = (&'a str, Figure)>,
) {
    let block = Block::new()
        .borders(Borders::TOP)
        .title(format!("{title} "))
        .border_style(Color::DarkGray)
        .title_style(Color::Reset);
    let mut figures: Vec<_> = figures.collect();
    if figures.is_empty() {
        return frame.render_widget(Paragraph::new(nothing).style(Color::DarkGray).block(block), area);
    }
    figures.sort_by_key(|(_, figure)| std::cmp::Reverse(figure.total));
    let room = usize::from(area.height).saturating_sub(1);
    let rest = figures.len().saturating_sub(room);
    let kept = if rest > 0 { room.saturating_sub(1) } else { figures.len() };
    let row = |name: String, figure: Figure| {
        let cell = |text: String| Line::from(text).alignment(Alignment::Right);
        Row::new(vec![
            Line::from(name),
            cell(number(figure.total)),
            cell(format!("{}/s", number(figure.now))),
        ])
    };
    let mut rows: Vec<Row<'_>> =
        figures[..kept].iter().map(|(name, figure)| row((*name).to_owned(), *figure)).collect();
    if rest > 0 {
        let sum = figures[kept..].iter().fold(Figure::default(), |sum, (_, more)| Figure {
            total: sum.total + more.total,
            now: sum.now + more.now,
        });
        rows.push(row(format!("{} more", figures.len() - kept), sum));
    }
    let widths = [Constraint::Fill(1), Constraint::Length(12), Constraint::Length(10)];
    frame.render_widget(Table::new(rows, widths).block(block), area);
}

fn draw_keys(frame: &mut Frame<'_>, area: Rect, state: State) {
    let pause = if state == State::Paused { "go on" } else { "pause" };
    let keys = [("p", pause), ("q", "stop: no new requests"), ("Q", "stop at once")];
    let spans = keys.iter().flat_map(|(key, what)| {
        [
            Span::styled(format!(" {key} "), Style::new().add_modifier(Modifier::REVERSED)),
            Span::raw(format!(" {what}  ")),
        ]
    });
    frame.render_widget(Paragraph::new(Line::from(spans.collect::<Vec<_>>())), area);
}

/// The whole run on a terminal that is too small for more.
fn few_words(model: &Model, state: State) -> Vec<Line<'static>> {
    let now = model.seconds.back().cloned().unwrap_or_default();
    vec![
        Line::from(state.words().0),
        Line::from(format!("{:.0} %, {}/s", model.share(Instant::now()) * 100.0, number(now.sent))),
        Line::from(format!("p50 {} p99 {}", time(now.p50), time(now.p99))),
        Line::from(format!("{} failed", number(model.failed))),
        Line::from("p pause, q stop"),
    ]
}

/// Rows for the tables: as many as the longer one needs, and no more than a third of the screen.
fn table_height(model: &Model, height: u16) -> u16 {
    let rows = model.errors.len().max(model.rules.len()).max(1) as u16 + 1;
    rows.min(height / 3)
}

/// Hours, minutes and seconds.
fn clock(us: u64) -> String {
    let seconds = us / 1_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match hours {
        0 => format!("{minutes}:{:02}", seconds % 60),
        _ => format!("{hours}:{minutes:02}:{:02}", seconds % 60),
    }
}

/// Columns and rows below which there are only a few words.
const NARROW: u16 = 60;
const LOW: u16 = 16;
/// Columns from which the curves stand side by side.
const WIDE: u16 = 110;
/// Columns of a figure's name, and where the second figure of a line begins on a narrow terminal.
const NAME: usize = 9;
const HALF: usize = 48;
/// Columns between what stands side by side.
const GAP: u16 = 2;
