import type { X509Certificate } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { Fields } from '../api/fields.ts'
import { certificatesIn, isAmong } from '../certificates/tls-secret.ts'

/** A hop as the API server has it. */
export type PublishedHop = {
  name: string
  failurePolicy: string
  /** Where it leads: a Service or a URL. */
  to: unknown
  /** Whom it trusts there. */
  cas: readonly X509Certificate[]
}

const whereTo = ({ url, service }: { url?: unknown; service?: unknown }) => ({ url, service })

/** The hops of a webhook configuration, as the API server has it or as we would write it. */
export const hopsOf = (configuration: unknown): PublishedHop[] =>
  new Fields(configuration).list('webhooks', (webhook) => {
    const clientConfig = webhook.object('clientConfig')
    return {
      name: String(webhook.raw('name')),
      failurePolicy: String(webhook.raw('failurePolicy')),
      to: whereTo(clientConfig.value as object),
      cas: certificatesIn(Buffer.from(clientConfig.string('caBundle') ?? '', 'base64').toString()),
    }
  })

/** The CAs that every one of the hops trusts. */
export const trustedByAll = ([first, ...rest]: readonly PublishedHop[]): X509Certificate[] =>
  (first?.cas ?? []).filter((ca) => rest.every(({ cas }) => isAmong(ca, cas)))

/**
 * Whether what was proved of the hops of a configuration still holds: each fails as it is to, leads where it is to, and trusts a CA that
 * the one that it is to become trusts too. A hop that was damaged, or leads elsewhere, has to be proved anew, and fails open until it is.
 */
export const isStillProven = (present: readonly PublishedHop[], wanted: readonly PublishedHop[]): boolean =>
  wanted.every((hop) => {
    const found = present.find(({ name }) => name === hop.name)
    return (
      found?.failurePolicy === hop.failurePolicy &&
      isDeepStrictEqual(found.to, hop.to) &&
      hop.cas.some((ca) => isAmong(ca, found.cas))
    )
  })

/** Whether each of the hops that is to fail closed does. */
export const failsClosed = (present: readonly PublishedHop[], wanted: readonly PublishedHop[]): boolean =>
  wanted
    .filter(({ failurePolicy }) => failurePolicy === 'Fail')
    .every((hop) => present.some(({ name, failurePolicy }) => name === hop.name && failurePolicy === 'Fail'))
