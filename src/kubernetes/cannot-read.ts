import { shownProblem } from '../rules/message.ts'
import { UsageError } from '../usage-error.ts'
import type { ApiError } from './client.ts'

/** What is at the bottom of an error; one that stands for several, as of both families of a name, has but a code. */
const rootCause = (error: Error & { code?: string }): string =>
  error.cause instanceof Error ? rootCause(error.cause) : String([error.message, error.code].find(Boolean))

/** What to say to whoever asked for a cluster that cannot be read; `rights` are those that reading it takes. */
export const cannotRead = (error: ApiError, server: string | undefined, rights: string): UsageError => {
  const said = error.cause instanceof Error ? `${error.message} (${rootCause(error)})` : error.message
  const lacking = error.status === 403 ? `. ${rights}` : ''
  return new UsageError(shownProblem(`cannot read the cluster ${server}: ${said}${lacking}`), { cause: error })
}
