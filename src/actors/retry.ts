// When failed work is tried again: soon at first, then ever more rarely, so that a broken profile costs little and a
// short trouble is over soon. Milliseconds; jitter is the caller's.
export const retryDelay = (failures: number): number =>
  failures <= 0 ? 0 : Math.min(15 * 60_000, 5_000 * 2 ** Math.min(failures - 1, 16))
