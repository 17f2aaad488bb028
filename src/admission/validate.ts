import { isDenied, type Outcome } from '../rules/judge.ts'
import {
  denialMessage,
  maxWarningLength,
  printable,
  shorten,
  shownName,
  shownProblem,
  warningTexts,
} from '../rules/message.ts'
import type { Backend } from './backend.ts'
import { type Circumstances, describe, judge, judgeDeletion } from './judgement.ts'
import { type AdmissionRequest, type Answer, allow, deny } from './review.ts'
import { nameOf, readSubject, type Subject } from './subject.ts'

/** The rules that found something, by action: what the audit log keeps. */
const auditAnnotations = (outcomes: readonly Outcome[]): Record<string, string> => {
  const annotations: Record<string, string> = {}
  for (const action of ['deny', 'warn', 'audit'] as const) {
    const rules = new Set(outcomes.filter((outcome) => outcome.action === action).map(({ rule }) => rule))
    if (rules.size > 0) annotations[action] = [...rules].join(',')
  }
  return annotations
}

/** Says of a request for something that we do not judge that the registration sent it here by mistake, and lets it pass. */
export const passUnhandled = ({ kind }: AdmissionRequest): Answer =>
  allow({
    isUnhandled: true,
    warnings: [
      shorten(
        printable(
          `meshvip has no rules for ${kind.kind} (${kind.group || 'core'}/${kind.version}): its webhook configuration sends it more than it should`,
        ),
        maxWarningLength,
      ),
    ],
  })

/** What an answer says of what was found. */
const said = (outcomes: readonly Outcome[]): Pick<Answer, 'outcomes' | 'warnings' | 'auditAnnotations'> => ({
  outcomes,
  warnings: warningTexts(outcomes),
  auditAnnotations: auditAnnotations(outcomes),
})

const validateSubject = async (
  subject: Subject,
  request: AdmissionRequest,
  circumstances: Circumstances,
): Promise<Answer> => {
  const verdict = await judge(subject, request, 'validation', circumstances)
  const { docsURL } = circumstances.policy
  const findings = said(verdict.outcomes)
  return isDenied(verdict) ? deny(denialMessage(describe(subject), verdict, docsURL), findings) : allow(findings)
}

/** Validation: judges the object as it will be stored, with all that mutation did to it. Rejects for our own trouble only. */
export const validate = async (
  request: AdmissionRequest,
  backend: Backend,
  circumstances: Omit<Circumstances, 'cluster'>,
): Promise<Answer> => {
  const reading = readSubject(request)
  switch (reading.is) {
    case 'unhandled':
      return passUnhandled(request)
    case 'malformed':
      return deny(`${request.kind.kind} ${shownName(nameOf(request))} cannot be read: ${shownProblem(reading.problem)}`)
    case 'deletion': {
      const { kind, name, service } = reading
      const all = { ...circumstances, cluster: backend.cluster }
      const outcomes = service === undefined ? [] : await judgeDeletion(service, request, all)
      if (!request.dryRun) backend.deleted(kind, name)
      return allow(said(outcomes))
    }
    case 'unseen':
      return allow()
    case 'subject': {
      const answer = await validateSubject(reading.subject, request, { ...circumstances, cluster: backend.cluster })
      if (answer.allowed && !request.dryRun) backend.admitted(reading.subject)
      return answer
    }
  }
}
