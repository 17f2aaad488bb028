import { setImmediate } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Clock } from '../../src/kubernetes/clock.ts'

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

/**
 * A clock that stands still until a test lets time pass. All that happens in between has to happen in this process alone: a test that
 * waits for a socket cannot know when everybody has gone to sleep again.
 */
export class TestClock implements Clock {
  #now = 0
  readonly #sleepers = new Set<{ until: number; wake: () => void }>()
  readonly #works = new Set<Promise<unknown>>()

  now(): number {
    return this.#now
  }

  date(): Date {
    return new Date(Date.UTC(2026, 0, 1) + this.#now)
  }

  sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        signal.removeEventListener('abort', wake)
        this.#sleepers.delete(sleeper)
        resolve()
      }
      const sleeper = { until: this.#now + Math.max(milliseconds, 0), wake }
      this.#sleepers.add(sleeper)
      signal.addEventListener('abort', wake)
      if (signal.aborted) wake()
    })
  }

  /** What is done by another thread, or otherwise in its own time: no time passes until it is done. */
  during<T>(work: Promise<T>): Promise<T> {
    this.#works.add(work)
    return work.finally(() => this.#works.delete(work))
  }

  /** Lets time pass, and wakes each sleeper at its time, when all that others set going before has been done. */
  async pass(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds
    for (;;) {
      do {
        await Promise.allSettled(this.#works)
        await setImmediate()
      } while (this.#works.size > 0)
      const [next] = [...this.#sleepers].sort((a, b) => a.until - b.until)
      if (next === undefined || next.until > end) break
      this.#now = next.until
      next.wake()
    }
    this.#now = end
  }
}

/** The same time as somebody else reads it, whose timers are late by `lateness` milliseconds. */
export const skewed = (
  clock: Clock,
  {
    offset = 0,
    rate = 1,
    calendar = 0,
    lateness = 0,
  }: { [how in 'offset' | 'rate' | 'calendar' | 'lateness']?: number },
): Clock => ({
  now: () => offset + clock.now() * rate,
  date: () => new Date(clock.date().getTime() + calendar),
  sleep: (milliseconds, signal) => clock.sleep(milliseconds / rate + lateness, signal),
})

/** Lets time limits that requests are given (AbortSignal.timeout) pass only when told to. Resolves to what lets all of them pass. */
export const holdTimeouts = (t: Test): (() => void) => {
  const held = new Set<AbortController>()
  const value = () => {
    const controller = new AbortController()
    held.add(controller)
    return controller.signal
  }
  t.intercept(AbortSignal, 'timeout', { value })
  return () => {
    for (const controller of held) controller.abort()
    held.clear()
  }
}
