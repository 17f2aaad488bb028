import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Policy } from '../rules/policy.ts'
import { loadPolicy } from './load.ts'

export type WatchOptions = {
  file: string
  /** The text that the policy in force was loaded from. */
  text: string
  /** Milliseconds between two looks. */
  interval: number
  /** Told of each policy that replaces the one before; may throw or reject where it cannot be used, and the file is no good then. */
  onPolicy(policy: Policy): void | Promise<void>
  /** Told why the file cannot be used; the policy in force stays. Once for each text. */
  onError(error: unknown): void
  signal: AbortSignal
}

/**
 * Loads a configuration file anew when its text changes, until the signal is aborted. It looks at the text and waits for no event:
 * a ConfigMap's file is replaced by swapping a link above it, which watching the file does not show.
 */
export const watchPolicy = async ({ file, text, interval, onPolicy, onError, signal }: WatchOptions): Promise<void> => {
  let told: string | undefined = text
  let seen: string | undefined = text
  for (;;) {
    try {
      await sleep(interval, undefined, { signal })
    } catch {
      // The signal.
      return
    }
    const now = await readFile(file, 'utf8').catch(() => undefined)
    // Not before it stands still for a look: an editor may have emptied the file and not yet written it.
    const stands = now === seen
    seen = now
    if (!stands || now === told) continue
    told = now
    try {
      if (now === undefined) throw new Error(`${file} is gone, or cannot be read`)
      await onPolicy(loadPolicy(now, file))
    } catch (error) {
      onError(error)
    }
  }
}
