/** Clocks differ a little between machines: what we make is valid from so many milliseconds before it was made. */
export const backdate = 5 * 60 * 1000

/** How long a certificate that we make for ourselves is valid: 90 days, in milliseconds. */
export const defaultLifetime = 90 * 24 * 60 * 60 * 1000
