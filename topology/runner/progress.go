package runner

import "time"

// progressEvery is how often a restore says how far it is.
const progressEvery = 10 * time.Second

// sayProgress logs how far the restore of each changelog is, if it is time to.
func (r *restorer) sayProgress(tasks []*restore, now time.Time) {
	if now.Sub(r.said) < progressEvery {
		return
	}
	r.said = now
	for _, t := range tasks {
		for i := range t.changelogs {
			c := &t.changelogs[i]
			if c.next >= c.end {
				continue
			}
			attrs := []any{"task", r.name(t.Task), "topic", c.Topic, "partition", c.Partition, "records", c.records, "bytes", c.bytes, "left", c.end - c.next}
			if eta, ok := c.eta(now); ok {
				attrs = append(attrs, "eta", eta)
			}
			r.log.Info("restoring", attrs...)
		}
	}
}

// eta returns how long the rest takes if it takes as long as what was read; not ok:
// nothing was.
func (c *changelog) eta(now time.Time) (d time.Duration, ok bool) {
	read := c.next - c.first
	if read <= 0 {
		return 0, false
	}
	rest := float64(now.Sub(c.began)) / float64(read) * float64(c.end-c.next)
	return time.Duration(rest).Round(time.Second), true
}
