"""Words of letters that bring a report: what it is and where its file is, in every language.

Owns the words, as tables; a template names the values it needs. What stands in such a letter and
when it goes is not decided here.
"""

from __future__ import annotations

from typing import Final

from domain.sentences import Words

#: What a report lists, by the stored name of its kind.
TITLES: Final[dict[str, Words]] = {
    "broadcasts": {"en": "Broadcasts", "id": "Siaran", "es": "Difusiones"},
    "whatsapp_usage": {
        "en": "WhatsApp usage",
        "id": "Pemakaian WhatsApp",
        "es": "Uso de WhatsApp",
    },
    "visitors": {"en": "Visitors", "id": "Pengunjung", "es": "Visitantes"},
    "other_services": {
        "en": "Other services",
        "id": "Layanan lain",
        "es": "Otros servicios",
    },
    "charges": {"en": "Charges", "id": "Biaya", "es": "Cargos"},
    "ledger": {"en": "Ledger", "id": "Buku besar", "es": "Libro mayor"},
    "purchases": {"en": "Purchases", "id": "Pembelian", "es": "Compras"},
    "usage_chart": {"en": "Usage chart", "id": "Grafik pemakaian", "es": "Gráfico de uso"},
}

#: What the figures of a letter are called.
LABELS: Final[dict[str, Words]] = {
    "report": {"en": "Report", "id": "Laporan", "es": "Informe"},
    "range": {"en": "Period", "id": "Periode", "es": "Periodo"},
    "as_of": {"en": "As of", "id": "Per", "es": "A fecha de"},
    "figures": {"en": "Figures", "id": "Angka", "es": "Cifras"},
    "rows": {"en": "Rows", "id": "Baris", "es": "Filas"},
    "file": {"en": "File", "id": "Berkas", "es": "Archivo"},
    "export": {"en": "Export", "id": "Ekspor", "es": "Exportación"},
    "schedule": {"en": "Schedule", "id": "Jadwal", "es": "Programación"},
}

#: The sentences, and what a figure may say.
PHRASES: Final[dict[str, Words]] = {
    "heading": {
        "en": "{report}, {range}",
        "id": "{report}, {range}",
        "es": "{report}, {range}",
    },
    "attached": {
        "en": "The report is attached to this letter as {file}.",
        "id": "Laporan terlampir pada surat ini sebagai {file}.",
        "es": "El informe va adjunto a este correo como {file}.",
    },
    "too_large": {
        "en": "The report has {size}, which is too large for a letter. Until {until}, whoever may "
        "read it can download it as export {export}.",
        "id": "Laporan berukuran {size}, terlalu besar untuk sebuah surat. Sampai {until}, siapa "
        "pun yang boleh membacanya dapat mengunduhnya sebagai ekspor {export}.",
        "es": "El informe ocupa {size}, demasiado para un correo. Hasta {until}, quien puede "
        "leerlo puede descargarlo como exportación {export}.",
    },
    "between": {
        "en": "{start} to {end}",
        "id": "{start} sampai {end}",
        "es": "{start} a {end}",
    },
    "estimate": {
        "en": "estimated until the period is closed",
        "id": "perkiraan sampai periode ditutup",
        "es": "estimadas hasta el cierre del periodo",
    },
    "final": {"en": "final", "id": "final", "es": "definitivas"},
    "footer": {
        "en": "Sent to {email}, because somebody of {tenant} had this report mailed there.",
        "id": "Dikirim ke {email}, karena seseorang dari {tenant} meminta laporan ini dikirim ke "
        "sana.",
        "es": "Enviado a {email}, porque alguien de {tenant} pidió enviar allí este informe.",
    },
    "footer_schedule": {
        "en": "Sent to {email}, because {tenant} has this report mailed there again and again. "
        "Whoever may read it can change or delete its schedule, {schedule}.",
        "id": "Dikirim ke {email}, karena {tenant} meminta laporan ini dikirim ke sana secara "
        "berkala. Siapa pun yang boleh membacanya dapat mengubah atau menghapus jadwalnya, "
        "{schedule}.",
        "es": "Enviado a {email}, porque {tenant} pidió enviar allí este informe periódicamente. "
        "Quien puede leerlo puede cambiar o borrar su programación, {schedule}.",
    },
}
