import { setTimeout as sleep } from 'node:timers/promises'

/** What tells the time, and lets it pass. */
export type Clock = {
  /** Milliseconds of a clock that nobody sets. */
  now(): number
  /** What the calendar says: for others to read, and nothing to judge by but certificates, which go by it. */
  date(): Date
  /** Resolves after so many milliseconds, or as soon as the signal is aborted. */
  sleep(milliseconds: number, signal: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => performance.now(),
  date: () => new Date(),
  sleep: (milliseconds, signal) => sleep(Math.max(milliseconds, 0), undefined, { signal }).catch(() => {}),
}

/** A date as a meta/v1 MicroTime, which has six decimals, no fewer. */
export const microTime = (date: Date): string => date.toISOString().replace('Z', '000Z')
