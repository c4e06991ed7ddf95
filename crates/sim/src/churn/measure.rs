//! What is learned each day, and what is measured.

use craftec_obj::heal::{
    aim::{Aim, Goal},
    forecast::Exposure,
    history::Kind,
};

use super::{
    config::{DAY_MS, HOUR_MS},
    node::NodeId,
    world::{Happens, World},
};

impl World<'_> {
    /// Once a day what was learned becomes the aim.
    pub(super) fn day(&mut self) {
        for (kind, counted) in self.kinds.iter_mut().zip(self.counted) {
            kind.watched(counted * DAY_MS);
        }
        let (exposure, presence, whole_presence) = self.exposure();
        let goal = Goal {
            yearly_loss: self.config.yearly_loss,
            readable: self.config.readable,
            presence,
            whole_presence,
        };
        let aim = Aim::beside_whole(self.config.k, &goal, &exposure);
        self.kept[0].aim = aim;
        self.note(u32::MAX, u64::from(aim.floor));
        self.at(self.now_ms + DAY_MS, Happens::Day);
    }

    /// What holders are exposed to, as far as it is known, and how much they are here.
    pub(super) fn exposure(&self) -> (Exposure, f64, f64) {
        let mut parts = [[0.0; 3]; 2];
        // Holders of pieces and of whole copies, among a few objects: nothing a node couldn't know.
        let of_ours = self.objects.iter().filter(|object| object.scheme == 0);
        for object in of_ours.take(200) {
            let pieces = object.pieces.iter().map(|id| (id, false));
            for (id, whole) in pieces.chain(object.wholes.iter().map(|id| (id, true))) {
                let node = &self.nodes[id.at()];
                let part = &mut parts[usize::from(whole)];
                part[0] += 1.0;
                let kind = &self.kinds[node.shell as usize];
                let blind_ms = if whole { kind.whole_blind_ms() } else { kind.blind_ms() };
                part[1] += blind_ms as f64;
                part[2] += node.history.presence(self.now_ms);
            }
        }
        let [pieces, mut wholes] = parts;
        if wholes[0] < 20.0 {
            wholes = pieces;
        }
        let mean = |part: [f64; 3], nth: usize| part[nth] / part[0].max(1.0);
        let lifetime = |kind: &Kind| 1.0 / kind.lifetime_ms().max(1) as f64;
        let [tabs, steady] = [&self.kinds[0], &self.kinds[1]].map(lifetime);
        let counted = [self.counted[0] as f64, self.counted[1] as f64];
        let rate = (tabs * counted[0] + steady * counted[1]) / (counted[0] + counted[1]).max(1.0);
        let exposure = Exposure {
            lifetime_ms: (1.0 / rate) as u64,
            blind_ms: mean(pieces, 1) as u64,
            whole_blind_ms: mean(wholes, 1) as u64,
            mend_ms: (self.mend_ms + self.config.slot_ms() as f64) as u64,
        };
        (exposure, mean(pieces, 2), mean(wholes, 2))
    }

    /// Looks at one object in sixteen, at another hour of the day each time.
    pub(super) fn sample(&mut self) {
        self.samples += 1;
        let measures = self.measures();
        let now_ms = self.now_ms;
        let hour = &mut self.hours[(now_ms / HOUR_MS % 24) as usize];
        *hour = (hour.0 + self.here.len() as f64 / f64::from(self.config.nodes), hour.1 + 1);
        for index in (self.samples as usize % 16..self.objects.len()).step_by(16) {
            let object = &self.objects[index];
            let kept = &mut self.kept[usize::from(object.scheme)];
            let margin = i32::from(object.alive_coded) - i32::from(kept.aim.k);
            kept.figures.month(now_ms - self.config.put_ms()).add(margin);
            if !measures {
                continue;
            }
            let here = |id: &&NodeId| self.views[id.at()].here && !self.nodes[id.at()].liar;
            let whole = object.wholes.iter().any(|id| here(&id));
            let coded = || object.pieces.iter().filter(here).count() >= usize::from(kept.aim.k);
            kept.figures.samples += 1;
            kept.figures.readable += u64::from(whole || coded());
        }
        self.at(now_ms + 25 * HOUR_MS, Happens::Sample);
    }
}
