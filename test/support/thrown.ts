/** What a call throws, as text with its name; t.throws() is content with a part of the message. */
export const thrown = (call: () => unknown): string => {
  try {
    call()
  } catch (error) {
    return String(error)
  }
  return 'nothing'
}
