import type { Report } from '../check.ts'
import { formatGitHub } from './github.ts'
import { formatJSON } from './json.ts'
import { formatJUnit } from './junit.ts'
import { formatSARIF } from './sarif.ts'
import { formatText } from './text.ts'

/** What a format may need beside the report. */
export type Surroundings = {
  /** Whether a person reads it on a terminal, which shows colours. */
  isTerminal: boolean
  docsURL: string
}

/** How a report can be written. */
export const formats = {
  text: (report: Report, { isTerminal }: Surroundings): string => formatText(report, isTerminal),
  json: formatJSON,
  sarif: formatSARIF,
  junit: formatJUnit,
  github: formatGitHub,
} satisfies Record<string, (report: Report, surroundings: Surroundings) => string>

export type Format = keyof typeof formats

export const formatNames = Object.keys(formats) as Format[]
