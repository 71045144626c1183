//! How far one visitor gets in a funnel. Pure: decides for the events of one visitor, in any order.
//!
//! A chain is a choice of distinct events, one per step, within the window that begins with the first of them, the entry. An
//! event counts for one step only. Of events in the same millisecond any may be the earlier one, so all that share a time form
//! a moment, within which the order is free. The result is the chain that reaches the most steps; of those the one that enters
//! first, and then the one that reaches each step first.

/// One event of a visitor, as a funnel sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::explore) struct Event {
    /// Milliseconds since 1970 UTC.
    pub(in crate::explore) time: i64,
    /// A bit for each step that it can be, and above them for each exclusion.
    pub(super) matches: u32,
    /// For the caller.
    pub(super) index: usize,
}

/// In which order steps have to occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Order {
    Sequential,
    Strict,
    Any,
}

/// What a visitor's events are matched with.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) steps: usize,
    pub(super) order: Order,
    pub(super) window_ms: i64,
    /// Entries have to be in this span, in milliseconds since 1970 UTC.
    pub(super) entry_start: i64,
    pub(super) entry_end: i64,
    pub(super) exclusions: Vec<Exclusion>,
}

/// An event that must not occur after one step of a chain and before another one. Steps count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Exclusion {
    pub(crate) from_step: usize,
    pub(crate) to_step: usize,
}

/// The chain of a visitor: its events, one per step that it reaches. Not empty.
pub(in crate::explore) type Chain = Vec<Event>;

impl Rules {
    fn step_bits(&self) -> u32 {
        (1 << self.steps) - 1
    }

    /// The chain of a visitor. `None` if the visitor does not enter, or is excluded. Sorts the events by time.
    pub(super) fn chain(&self, events: &mut [Event]) -> Option<Chain> {
        events.sort_unstable_by_key(|event| (event.time, event.index));
        let moments: Vec<&[Event]> = events.chunk_by(|a, b| a.time == b.time).collect();
        let most = self.most_steps(events);
        let mut best = Chain::new();
        for entry in 0..moments.len() {
            let time = moments[entry][0].time;
            if time < self.entry_start {
                continue;
            }
            if time >= self.entry_end || best.len() == most {
                break;
            }
            let chain = match self.order {
                Order::Sequential => self.sequential(&moments[entry..]),
                Order::Strict => self.strict(&moments[entry..]),
                Order::Any => self.any(&moments[entry..]),
            };
            if chain.len() > best.len() {
                best = chain;
            }
        }
        (!best.is_empty() && !self.is_excluded(&best, events)).then_some(best)
    }

    /// The most steps that these events can reach, so that the search for more ends.
    fn most_steps(&self, events: &[Event]) -> usize {
        let present = events.iter().fold(0, |bits, event| bits | event.matches) & self.step_bits();
        match self.order {
            Order::Sequential | Order::Strict => present.trailing_ones() as usize,
            Order::Any => present.count_ones() as usize,
        }
    }

    /// The moments within the window of the first one.
    fn window<'a, 'b>(&self, moments: &'a [&'b [Event]]) -> impl Iterator<Item = &'a &'b [Event]> {
        let end = moments[0][0].time + self.window_ms;
        moments.iter().take_while(move |moment| moment[0].time <= end)
    }

    /// Taking as many steps as possible at each moment reaches every step as early as possible.
    fn sequential(&self, moments: &[&[Event]]) -> Chain {
        let mut chain = Chain::new();
        for moment in self.window(moments) {
            let mut matching = Matching::new(moment);
            while chain.len() + matching.len() < self.steps && matching.add(chain.len() + matching.len()) {}
            chain.extend(matching.events());
            if chain.is_empty() || chain.len() == self.steps {
                break;
            }
        }
        chain
    }

    /// Nothing may be between two steps: a moment between the first and the last one of the chain belongs to it with all its events.
    fn strict(&self, moments: &[&[Event]]) -> Chain {
        let mut best = Chain::new();
        // Chains that take every event since their first moment's end; by their number of steps.
        let mut open: Vec<Chain> = Vec::new();
        for (index, moment) in self.window(moments).enumerate() {
            let mut still_open = Vec::new();
            // In the first moment the other events may be earlier, in the last one later.
            let started = [Chain::new()];
            for chain in if index == 0 { &started[..] } else { &open[..] } {
                let mut matching = Matching::new(moment);
                while chain.len() + matching.len() < self.steps && matching.add(chain.len() + matching.len())
                {
                    let longer = || chain.iter().copied().chain(matching.events()).collect::<Chain>();
                    if chain.len() + matching.len() > best.len() {
                        best = longer();
                    }
                    if index == 0 || matching.len() == moment.len() {
                        still_open.push(longer());
                    }
                }
            }
            // Of two chains of the same length the one that took more steps earlier is found first.
            still_open.sort_by_key(|chain| std::cmp::Reverse(chain.len()));
            open = still_open;
            if open.is_empty() || best.len() == self.steps {
                break;
            }
        }
        best
    }

    /// The entry is any step that occurs at the first moment. A chain has the steps in the order in which they are reached.
    fn any(&self, moments: &[&[Event]]) -> Chain {
        let mut events: Vec<Event> = Vec::new();
        let mut event_of = vec![None; self.steps];
        let mut chain = Chain::new();
        for moment in self.window(moments) {
            for event in moment.iter().filter(|event| event.matches & self.step_bits() != 0) {
                events.push(*event);
                if augment(events.len() - 1, &events, &mut event_of, &mut 0) {
                    chain.push(*event);
                }
            }
            if chain.is_empty() || chain.len() == self.steps {
                break;
            }
        }
        chain
    }

    /// Whether an excluded event is between two steps of the chain. If the chain does not reach the later one, up to the end of its
    /// window.
    fn is_excluded(&self, chain: &Chain, events: &[Event]) -> bool {
        self.exclusions.iter().enumerate().any(|(index, exclusion)| {
            let Some(from) = chain.get(exclusion.from_step) else { return false };
            let window_end = chain[0].time + self.window_ms + 1;
            let end = chain.get(exclusion.to_step).map_or(window_end, |to| to.time);
            let bit = 1 << (self.steps + index);
            events.iter().any(|event| event.matches & bit != 0 && from.time < event.time && event.time < end)
        })
    }
}

/// Gives an event a step, moving others to other steps if needed (Kuhn's algorithm).
fn augment(event: usize, events: &[Event], event_of: &mut [Option<usize>], visited: &mut u32) -> bool {
    for step in 0..event_of.len() {
        let bit = 1 << step;
        if events[event].matches & bit == 0 || *visited & bit != 0 {
            continue;
        }
        *visited |= bit;
        if event_of[step].is_none_or(|other| augment(other, events, event_of, visited)) {
            event_of[step] = Some(event);
            return true;
        }
    }
    false
}

/// The events of one moment that consecutive steps are matched with.
struct Matching<'a> {
    moment: &'a [Event],
    /// The event of each step, from the first that is matched here.
    event_of: Vec<usize>,
    first_step: usize,
}

impl<'a> Matching<'a> {
    fn new(moment: &'a [Event]) -> Self {
        Self { moment, event_of: Vec::new(), first_step: 0 }
    }

    fn len(&self) -> usize {
        self.event_of.len()
    }

    fn events(&self) -> impl Iterator<Item = Event> {
        self.event_of.iter().map(|event| self.moment[*event])
    }

    /// Adds the next step, if the events allow it.
    fn add(&mut self, step: usize) -> bool {
        if self.event_of.is_empty() {
            self.first_step = step;
        }
        let mut visited = vec![false; self.moment.len()];
        let slot = self.event_of.len();
        self.event_of.push(usize::MAX);
        let added = self.assign(slot, &mut visited);
        if !added {
            self.event_of.pop();
        }
        added
    }

    fn assign(&mut self, slot: usize, visited: &mut [bool]) -> bool {
        let bit = 1 << (self.first_step + slot);
        for event in 0..self.moment.len() {
            if self.moment[event].matches & bit == 0 || visited[event] {
                continue;
            }
            visited[event] = true;
            let holder = self.event_of.iter().position(|held| *held == event);
            if holder.is_none_or(|holder| self.assign(holder, visited)) {
                self.event_of[slot] = event;
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// The longest chain by trying all of them: its number of steps and the time of each.
    fn model(rules: &Rules, events: &[Event]) -> Vec<i64> {
        fn extend(rules: &Rules, events: &[Event], chain: &mut Vec<Event>, left: u32, best: &mut Vec<i64>) {
            let times: Vec<i64> = chain.iter().map(|event| event.time).collect();
            let is_contiguous = || {
                let (first, last) = (times[0], times[times.len() - 1]);
                let foreign = events.iter().filter(|event| !chain.contains(event));
                foreign.filter(|event| first < event.time && event.time < last).count() == 0
            };
            if !times.is_empty() && (rules.order != Order::Strict || is_contiguous()) {
                let is_better = times.len() > best.len() || times.len() == best.len() && times < *best;
                if is_better {
                    *best = times;
                }
            }
            let unused: Vec<Event> = events.iter().filter(|event| !chain.contains(event)).copied().collect();
            for event in unused {
                let steps = event.matches & left;
                let allowed = match rules.order {
                    Order::Sequential | Order::Strict => steps & (1 << chain.len()),
                    Order::Any => steps,
                };
                let in_window = chain.last().is_none_or(|last| {
                    last.time <= event.time && event.time - chain[0].time <= rules.window_ms
                });
                let enters = !chain.is_empty() || (rules.entry_start..rules.entry_end).contains(&event.time);
                if !in_window || !enters {
                    continue;
                }
                for step in (0..rules.steps).filter(|step| allowed & (1 << step) != 0) {
                    chain.push(event);
                    extend(rules, events, chain, left & !(1 << step), best);
                    chain.pop();
                }
            }
        }
        let mut best = Vec::new();
        extend(rules, events, &mut Vec::new(), rules.step_bits(), &mut best);
        best
    }

    fn rules(order: Order, steps: usize) -> Rules {
        Rules { steps, order, window_ms: 10, entry_start: 0, entry_end: 100, exclusions: Vec::new() }
    }

    fn events(list: &[(i64, u32)]) -> Vec<Event> {
        list.iter()
            .enumerate()
            .map(|(index, (time, matches))| Event { time: *time, matches: *matches, index })
            .collect()
    }

    fn times(rules: &Rules, list: &[(i64, u32)]) -> Vec<i64> {
        let chain = rules.chain(&mut events(list)).unwrap_or_default();
        chain.iter().map(|event| event.time).collect()
    }

    #[test]
    fn steps_of_the_same_millisecond_convert() {
        for order in [Order::Sequential, Order::Strict, Order::Any] {
            assert_eq!(times(&rules(order, 2), &[(5, 0b10), (5, 0b01)]), [5, 5], "{order:?}");
        }
    }

    #[test]
    fn two_equal_steps_need_two_events() {
        for order in [Order::Sequential, Order::Strict, Order::Any] {
            assert_eq!(times(&rules(order, 2), &[(5, 0b11)]), [5], "{order:?}");
            assert_eq!(times(&rules(order, 2), &[(5, 0b11), (6, 0b11)]), [5, 6], "{order:?}");
        }
    }

    #[test]
    fn a_repeated_first_step_does_not_hide_a_conversion() {
        // The first entry is too old for the second step; and a chain that broke off does not end the search.
        assert_eq!(times(&rules(Order::Sequential, 2), &[(0, 1), (8, 1), (15, 2)]), [8, 15]);
        assert_eq!(times(&rules(Order::Strict, 2), &[(0, 1), (1, 0), (2, 1), (3, 2)]), [2, 3]);
    }

    #[test]
    fn the_window_is_inclusive_and_entries_are_in_the_range() {
        let sequential = rules(Order::Sequential, 2);
        assert_eq!(times(&sequential, &[(0, 1), (10, 2)]), [0, 10]);
        assert_eq!(times(&sequential, &[(0, 1), (11, 2)]), [0]);
        assert_eq!(times(&sequential, &[(99, 1), (105, 2)]), [99, 105]);
        assert_eq!(times(&sequential, &[(100, 1), (105, 2)]), [0; 0]);
        assert_eq!(times(&sequential, &[(-1, 1), (5, 2)]), [0; 0]);
    }

    #[test]
    fn strict_steps_have_nothing_between_them() {
        let strict = rules(Order::Strict, 3);
        assert_eq!(times(&strict, &[(0, 1), (1, 2), (2, 4)]), [0, 1, 2]);
        assert_eq!(times(&strict, &[(0, 1), (1, 0), (2, 2)]), [0]);
        // A foreign event in the same millisecond as the first or the last step can be outside.
        assert_eq!(times(&strict, &[(0, 1), (0, 0), (1, 2), (2, 4), (2, 0)]), [0, 1, 2]);
        assert_eq!(times(&strict, &[(0, 1), (1, 2), (1, 0), (2, 4)]), [0, 1]);
    }

    #[test]
    fn an_exclusion_between_its_steps_removes_the_visitor() {
        let mut excluded = rules(Order::Sequential, 2);
        excluded.exclusions = vec![Exclusion { from_step: 0, to_step: 1 }];
        assert_eq!(times(&excluded, &[(0, 1), (3, 4), (5, 2)]), [0; 0]);
        assert_eq!(times(&excluded, &[(0, 1), (5, 2), (6, 4)]), [0, 5]);
        assert_eq!(times(&excluded, &[(0, 4), (1, 1), (5, 2), (5, 4)]), [1, 5]);
        // Without the second step it counts up to the end of the window.
        assert_eq!(times(&excluded, &[(0, 1), (10, 4)]), [0; 0]);
        assert_eq!(times(&excluded, &[(0, 1), (11, 4)]), [0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn chains_are_those_of_the_model(
            list in prop::collection::vec((0_i64..25, 0_u32..16), 0..8),
            steps in 2_usize..4,
            order in select(vec![Order::Sequential, Order::Strict, Order::Any]),
            entry_end in 1_i64..30,
        ) {
            let rules = Rules { entry_end, entry_start: 3, ..rules(order, steps) };
            let events = events(&list);
            let expected = model(&rules, &events);
            prop_assert_eq!(times(&rules, &list), expected);
        }
    }
}
