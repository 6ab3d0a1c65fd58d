// Numbers that a seed decides.

export class Random {
  #state;

  constructor(seed) {
    this.#state = seed >>> 0;
  }

  // At least 0, less than 1 (mulberry32: a counter, and its bits stirred).
  next() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let x = this.#state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  }

  // A whole number, both ends included.
  between(low, high) {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  chance(probability) {
    return this.next() < probability;
  }

  pick(list) {
    return list[this.between(0, list.length - 1)];
  }

  // Some of the list, each with the probability; at least one.
  some(list, probability) {
    const sure = this.pick(list);
    return list.filter((item) => this.chance(probability) || item === sure);
  }

  // One of [{weight}].
  weighted(list) {
    let left = this.next() * list.reduce((sum, { weight }) => sum + weight, 0);
    return list.find(({ weight }) => (left -= weight) < 0) ?? list.at(-1);
  }

  // Another sequence, which depends on this one's seed and is used for something else.
  fork() {
    return new Random(this.between(0, 2 ** 32 - 1));
  }
}
