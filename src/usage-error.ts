/** Something about how we were started that cannot work; the message is one sentence for whoever typed it. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}
