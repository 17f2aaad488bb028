import type { Report } from '../check.ts'
import { formatText } from './text.ts'

/** What a format may need beside the report. */
export type Surroundings = {
  /** Whether a person reads it on a terminal, which shows colours. */
  isTerminal: boolean
  docsURL: string
}

export const formats = {
  text: (report: Report, { isTerminal }: Surroundings): string => formatText(report, isTerminal),
} satisfies Record<string, (report: Report, surroundings: Surroundings) => string>

export type Format = keyof typeof formats

export const formatNames = Object.keys(formats) as Format[]
