/** Collects the log lines of a server, each as the JSON that it is. */
export class CapturedLog {
  readonly #written: string[] = []

  write(line: string): void {
    this.#written.push(line)
  }

  get text(): string {
    return this.#written.join('')
  }

  get lines(): Record<string, unknown>[] {
    return this.#written.map((line) => JSON.parse(line) as Record<string, unknown>)
  }
}
