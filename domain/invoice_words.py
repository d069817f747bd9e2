"""Words of invoices and credit notes: what stands beside their figures, in every language.

Owns the words, as tables; a template names the values it needs. Which figures there are is the
invoice's, and how a locale writes them is not decided here.
"""

from __future__ import annotations

from typing import Final

from domain.sentences import Words

#: What a document is called, with its number and as a draft.
TITLES: Final[dict[str, Words]] = {
    "invoice": {
        "en": "Invoice {number}",
        "id": "Faktur {number}",
        "es": "Factura {number}",
    },
    "credit_note": {
        "en": "Credit note {number}",
        "id": "Nota kredit {number}",
        "es": "Nota de crédito {number}",
    },
    "invoice_draft": {
        "en": "Draft of an invoice",
        "id": "Draf faktur",
        "es": "Borrador de factura",
    },
    "credit_note_draft": {
        "en": "Draft of a credit note",
        "id": "Draf nota kredit",
        "es": "Borrador de nota de crédito",
    },
}

WORDS: Final[dict[str, Words]] = {
    "from": {"en": "From", "id": "Dari", "es": "De"},
    "to": {"en": "To", "id": "Kepada", "es": "Para"},
    "tax_id": {
        "en": "Tax ID {id}",
        "id": "Nomor pajak {id}",
        "es": "Identificación fiscal {id}",
    },
    "key": {"en": "Account {key}", "id": "Akun {key}", "es": "Cuenta {key}"},
    "reference": {
        "en": "Your reference {reference}",
        "id": "Referensi Anda {reference}",
        "es": "Su referencia {reference}",
    },
    "issued": {"en": "Issued on", "id": "Tanggal terbit", "es": "Fecha de emisión"},
    "due": {"en": "Due on", "id": "Jatuh tempo", "es": "Vencimiento"},
    "period": {"en": "Period", "id": "Periode", "es": "Período"},
    "zone": {"en": "Time zone", "id": "Zona waktu", "es": "Zona horaria"},
    "of": {"en": "For invoice", "id": "Untuk faktur", "es": "De la factura"},
    "not_issued": {
        "en": "Not issued: nothing is asked for yet.",
        "id": "Belum diterbitkan: belum ada tagihan.",
        "es": "Sin emitir: todavía no se pide nada.",
    },
    "description": {"en": "Description", "id": "Uraian", "es": "Concepto"},
    "quantity": {"en": "Quantity", "id": "Jumlah", "es": "Cantidad"},
    "unit": {"en": "Unit", "id": "Satuan", "es": "Unidad"},
    "price": {"en": "Price", "id": "Harga", "es": "Precio"},
    "amount": {
        "en": "Amount ({currency})",
        "id": "Nilai ({currency})",
        "es": "Importe ({currency})",
    },
    "exactly": {"en": "exactly {amount}", "id": "persisnya {amount}", "es": "exacto {amount}"},
    "covered": {
        "en": "Paid before: nothing to pay",
        "id": "Sudah dibayar sebelumnya: tidak ditagih",
        "es": "Pagado antes: nada que pagar",
    },
    "to_pay": {
        "en": "To pay ({currency})",
        "id": "Ditagih ({currency})",
        "es": "A pagar ({currency})",
    },
    "net": {"en": "Before tax", "id": "Sebelum pajak", "es": "Antes de impuestos"},
    "tax": {"en": "{name} {rate} %", "id": "{name} {rate} %", "es": "{name} {rate} %"},
    "tax_of": {
        "en": "{name} {rate} % of {base}",
        "id": "{name} {rate} % dari {base}",
        "es": "{name} {rate} % de {base}",
    },
    "included": {
        "en": "{tax}, included in the prices",
        "id": "{tax}, sudah termasuk dalam harga",
        "es": "{tax}, incluido en los precios",
    },
    "untaxed": {
        "en": "No tax is asked for in {country}.",
        "id": "Tidak ada pajak yang dikenakan di {country}.",
        "es": "En {country} no se cobra ningún impuesto.",
    },
    "total": {"en": "Total", "id": "Total", "es": "Total"},
    "pay_by": {
        "en": "To pay by {day}",
        "id": "Harap dibayar paling lambat {day}",
        "es": "A pagar hasta el {day}",
    },
    "pay": {"en": "To pay", "id": "Harap dibayar", "es": "A pagar"},
    "nothing": {
        "en": "Nothing to pay",
        "id": "Tidak ada yang harus dibayar",
        "es": "Nada que pagar",
    },
    "credited": {
        "en": "Given back",
        "id": "Dikembalikan",
        "es": "A su favor",
    },
    "page": {
        "en": "Page {page} of {pages}",
        "id": "Halaman {page} dari {pages}",
        "es": "Página {page} de {pages}",
    },
    "marked": {
        "en": "A letter that this document has no glyph for is given by its Unicode number, "
        "as [U+0041].",
        "id": "Huruf yang tidak dapat dicetak dalam dokumen ini ditulis dengan nomor Unicode-nya, "
        "seperti [U+0041].",
        "es": "Una letra que este documento no puede imprimir se indica con su número Unicode, "
        "como [U+0041].",
    },
}

#: What a line of a subscription says beside its component's name.
LINES: Final[dict[str, Words]] = {
    "from": {
        "en": "{what} from {first} ({days} of {month} days)",
        "id": "{what} mulai {first} ({days} dari {month} hari)",
        "es": "{what} desde el {first} ({days} de {month} días)",
    },
    "between": {
        "en": "{what} from {first} to {last} ({days} of {month} days)",
        "id": "{what} dari {first} sampai {last} ({days} dari {month} hari)",
        "es": "{what} del {first} al {last} ({days} de {month} días)",
    },
    "more": {
        "en": "{what}, {quantity} more",
        "id": "{what}, tambahan {quantity}",
        "es": "{what}, {quantity} más",
    },
    "instead": {
        "en": "{what}; less what was invoiced: {before}",
        "id": "{what}; dikurangi yang sudah ditagih: {before}",
        "es": "{what}; menos lo ya facturado: {before}",
    },
    "day": {"en": "{day} {month} {year}", "id": "{day} {month} {year}",
            "es": "{day} de {month} de {year}"},
}  # fmt: skip

MONTHS: Final[Words] = {
    "en": "January February March April May June July August September October November December",
    "id": "Januari Februari Maret April Mei Juni Juli Agustus September Oktober November Desember",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre"
    " diciembre",
}

#: What units are called that are no operator's own words; any other stands as it is written.
UNITS: Final[dict[str, Words]] = {
    "conversation": {"en": "conversation", "id": "percakapan", "es": "conversación"},
    "message": {"en": "message", "id": "pesan", "es": "mensaje"},
    "minute": {"en": "minute", "id": "menit", "es": "minuto"},
    "month": {"en": "month", "id": "bulan", "es": "mes"},
    "part": {"en": "part", "id": "bagian", "es": "parte"},
    "seat": {"en": "seat", "id": "kursi", "es": "puesto"},
    "second": {"en": "second", "id": "detik", "es": "segundo"},
    "segment": {"en": "segment", "id": "segmen", "es": "segmento"},
    "unit": {"en": "unit", "id": "unit", "es": "unidad"},
    "visitor": {"en": "visitor", "id": "pengunjung", "es": "visitante"},
}
