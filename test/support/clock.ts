import type { Test } from 'tap'

/**
 * Until the test ends, everybody in this process to whom a new Date tells the time believes that it is so many milliseconds later.
 * Timers run as before.
 */
export const advanceDate = (t: Test, milliseconds: number): void => {
  class LaterDate extends Date {
    constructor(value: number | string | Date = Date.now() + milliseconds) {
      super(value)
    }
  }
  t.intercept(globalThis, 'Date', { value: LaterDate, configurable: true, writable: true })
}

/** Until the test ends, performance.now() is so many milliseconds later in this process. Timers run as before. */
export const advanceMonotonicClock = (t: Test, milliseconds: number): void => {
  const now = performance.now.bind(performance)
  t.intercept(performance, 'now', { value: () => now() + milliseconds, configurable: true, writable: true })
}
